package native

import (
	"testing"

	"plic/internal/directory"
	"plic/internal/directory/directorytest"
	"plic/internal/mail"
	"plic/internal/vfs"
)

func TestDirectory(t *testing.T) {
	t.Parallel()
	directorytest.Suite{
		Open: func(t *testing.T, s directorytest.Site) directory.Directory {
			d, err := Open(Options{FS: vfs.NewMemory(), Dir: "directory", Cost: cheap})
			must(t, err)
			for _, name := range s.Domains {
				must(t, d.AddDomain(t.Context(), mail.MustDomain(name)))
			}
			for _, a := range s.Accounts {
				_, err := d.AddAccount(t.Context(), mail.MustAddress(a.Name), a.Password)
				must(t, err)
				if a.Disabled {
					must(t, d.SetDisabled(t.Context(), a.Name, true))
				}
			}
			for name, targets := range s.Aliases {
				var all []mail.Address
				for _, text := range targets {
					all = append(all, mail.MustAddress(text))
				}
				must(t, d.AddAlias(t.Context(), name, all...))
			}
			return d
		},
		Lacks: []string{directorytest.Quotas, directorytest.Groups, directorytest.Senders, directorytest.Homes, directorytest.Protocols, directorytest.Copies},
	}.Run(t)
}
