package tlspolicy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"plic/internal/mtasts"
)

// fetchTimeout bounds the fetch of a policy, RFC 8461 section 3.3.
const fetchTimeout = time.Minute

// flights are the fetches under way.
type flights = singleflight.Group

// client asks web servers: by our resolver, without proxies, redirects and
// cookies.
func (p *Policies) client() *http.Client {
	return &http.Client{
		Timeout:       fetchTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:       p.dialWeb,
			TLSClientConfig:   &tls.Config{RootCAs: p.o.Roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2: true, DisableKeepAlives: true,
			MaxResponseHeaderBytes: 64 << 10, TLSHandshakeTimeout: 20 * time.Second,
		},
	}
}

// dialWeb connects to a host by the resolver's word.
func (p *Policies) dialWeb(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return p.o.Dial(ctx, network, address)
	}
	addrs, _, err := p.o.Resolver.Addrs(ctx, host)
	if err != nil {
		return nil, err
	}
	var problem error
	for _, addr := range addrs[:min(len(addrs), 4)] {
		within, cancel := context.WithTimeout(ctx, 15*time.Second)
		conn, err := p.o.Dial(within, network, net.JoinHostPort(addr.String(), port))
		cancel()
		if err == nil {
			return conn, nil
		}
		problem = err
	}
	return nil, problem
}

// fetchPolicy gets and checks the policy file of a domain, RFC 8461 section
// 3.3: from its own host by HTTPS, without redirects, as text, within a size.
func (p *Policies) fetchPolicy(ctx context.Context, domain string) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://mta-sts."+domain+"/.well-known/mta-sts.txt", nil)
	if err != nil {
		return nil, failed(fetchError, err)
	}
	r.Header.Set("Accept", "text/plain")
	answer, err := p.web.Do(r)
	if err != nil {
		var wrong *tls.CertificateVerificationError
		if errors.As(err, &wrong) {
			return nil, failed(webPKIInvalid, err)
		}
		return nil, failed(fetchError, err)
	}
	defer answer.Body.Close()
	kind, _, _ := strings.Cut(answer.Header.Get("Content-Type"), ";")
	switch {
	case answer.StatusCode != http.StatusOK:
		return nil, failed(fetchError, fmt.Errorf("the host answered %s", answer.Status))
	case !strings.EqualFold(strings.TrimSpace(kind), "text/plain"):
		return nil, failed(policyInvalid, fmt.Errorf("the policy comes as %q, not as text/plain", kind))
	}
	text, err := io.ReadAll(io.LimitReader(answer.Body, mtasts.MaxSize+1))
	if err != nil {
		return nil, failed(fetchError, err)
	}
	if _, err := mtasts.Parse(text); err != nil {
		return nil, failed(policyInvalid, err)
	}
	return text, nil
}
