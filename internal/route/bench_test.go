package route

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plic/internal/mail"
	"plic/internal/table"
)

// BenchmarkRoute is the cost of a recipient without tables and with all of them,
// among them one of 100,000 lines.
func BenchmarkRoute(b *testing.B) {
	var text strings.Builder
	for i := range 100000 {
		fmt.Fprintf(&text, "user%d@here.test account%d@here.test\n", i, i)
	}
	path := filepath.Join(b.TempDir(), "aliases")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	list, err := table.OpenAll([]string{"file:" + path}, table.Options{})
	if err != nil {
		b.Fatal(err)
	}
	all := Tables{LocalDomains: list, RelayDomains: list, Aliases: list, Transports: list, SenderTransports: list, SmartHosts: list,
		Logins: list, Sources: list, Canonical: list, SenderBcc: list}
	for name, tables := range map[string]Tables{"plain": {}, "tables": all} {
		for _, to := range []string{"bob@here.test", "x@there.test"} {
			b.Run(name+"/"+to, func(b *testing.B) {
				r := New(Options{Directory: site(), Tables: tables})
				from, to := mail.MustAddress("ann@here.test"), mail.MustAddress(to)
				b.ReportAllocs()
				for b.Loop() {
					if _, err := r.Route(b.Context(), from, to); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
