// Does the jobs of standard input with mailauth, and prints what came of them. The DNS
// is the records that come with the jobs.
const { authenticate } = require('mailauth');
const { dkimSign } = require('mailauth/lib/dkim/sign');

const work = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const resolver = async (name, type) => {
    const texts = type === 'TXT' && work.records[name.toLowerCase()];
    if (!texts) {
        throw Object.assign(new Error('not found'), { code: 'ENOTFOUND' });
    }
    return texts.map(text => [text]);
};

const jobs = {
    async check(job) {
        const r = await authenticate(Buffer.from(job.message), { ip: job.ip, helo: job.helo, sender: job.from, mta: 'mx.test', resolver, disableBimi: true });
        return {
            dkim: (r.dkim.results || []).map(x => x.status.result).join(','),
            spf: r.spf ? r.spf.status.result : '',
            arc: r.arc && r.arc.status ? r.arc.status.result : 'none',
            dmarc: r.dmarc ? r.dmarc.status.result : 'none'
        };
    },
    async sign(job) {
        const r = await dkimSign(job.message, {
            canonicalization: job.canonicalization,
            signTime: new Date(), // else it looks at the clock for the signature, and again for the field
            signatureData: [{ signingDomain: job.domain, selector: job.selector, privateKey: job.key }]
        });
        if (r.errors.length) {
            throw r.errors[0].err;
        }
        return { fields: r.signatures };
    },
    async seal(job) {
        const r = await authenticate(Buffer.from(job.message), {
            ip: job.ip, helo: job.helo, sender: job.from, mta: job.domain, resolver, disableBimi: true,
            seal: { signingDomain: job.domain, selector: job.selector, privateKey: job.key }
        });
        return { fields: r.headers };
    }
};

(async () => {
    const out = [];
    for (const job of work.jobs) {
        out.push(await jobs[job.does](job));
    }
    console.log(JSON.stringify(out));
})();
