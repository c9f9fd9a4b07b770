package auth

import (
	"plic/internal/directory"
	"plic/internal/journal"
	"plic/internal/sasl"
)

// candidates are the secrets that a proof may fit: the password, then those of
// programs.
func (x *Exchange) candidates(each func(s directory.Secret, app *directory.AppPassword)) {
	if x.found.Name == "" || x.found.Disabled {
		return
	}
	each(x.found.Secret, nil)
	for i := range x.found.Apps {
		each(x.found.Apps[i].Secret, &x.found.Apps[i])
	}
}

// verifiers finds what SCRAM compares a proof with. Whoever has nothing gets a
// verifier that no proof fits, always the same.
func (x *Exchange) verifiers(user string) ([]*sasl.Verifier, error) {
	if err := x.lookup(user); err != nil {
		return nil, err
	}
	fake := sasl.FakeVerifier(x.mechanism, x.a.o.Secret, key(x.try.login), x.a.o.Cost.Iterations)
	var all []*sasl.Verifier
	x.candidates(func(s directory.Secret, app *directory.AppPassword) {
		v := s.Verifier(x.mechanism)
		if password, plain := s.Plain(); v == nil && plain {
			x.a.plain.Store(true)
			v, _ = sasl.DeriveVerifier(x.mechanism, password, fake.Salt, fake.Iterations)
		}
		// One exchange has one salt: that of the password or, without one, of
		// the first of the programs.
		if v != nil && (len(all) == 0 || string(v.Salt) == string(all[0].Salt) && v.Iterations == all[0].Iterations) {
			all, x.secrets = append(all, v), append(x.secrets, app)
		}
	})
	if len(all) > 0 {
		return all, nil
	}
	x.lack()
	if x.a.plain.Load() { // as slow as if there were a password to derive it from
		sasl.DeriveVerifier(x.mechanism, "none", fake.Salt, fake.Iterations)
	}
	x.secrets = []*directory.AppPassword{nil}
	return []*sasl.Verifier{fake}, nil
}

// keys finds what CRAM-MD5 compares a digest with.
func (x *Exchange) keys(user string) (all []sasl.CRAMKey, err error) {
	if err := x.lookup(user); err != nil {
		return nil, err
	}
	x.candidates(func(s directory.Secret, app *directory.AppPassword) {
		if k, ok := s.CRAMKey(); ok {
			all, x.secrets = append(all, k), append(x.secrets, app)
		}
	})
	if len(all) == 0 {
		x.lack()
	}
	return all, nil
}

// lack notes that an account can only log in by its password, which is the case
// for those whose source keeps a hash of another kind or checks itself.
func (x *Exchange) lack() {
	if x.found.Name != "" && !x.found.Disabled {
		x.lacks = "there is no verifier for " + x.mechanism + " of this account, which can only send its password"
	}
}

// anonymous lets anybody read what is public, RFC 4505.
func (x *Exchange) anonymous(trace string) error {
	t := x.begin("anonymous")
	account, err := x.a.o.Directory.Account(x.ctx, x.a.o.Anonymous)
	if err != nil {
		return t.end(ErrTemporary, "the account for anonymous logins: "+err.Error())
	}
	x.login = Login{Account: account.Name, ReadOnly: true}
	t.observe(Accepted)
	t.record(journal.Event{Kind: journal.Auth, Account: account.Name, Status: "250 2.7.0 " + t.how, Reason: "anonymous: " + cut(trace)})
	return nil
}
