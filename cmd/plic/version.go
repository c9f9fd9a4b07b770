package main

import (
	"encoding/json"
	"fmt"
	"runtime"
	"runtime/debug"

	"plic/internal/server"

	"github.com/spf13/cobra"
)

// build is what this program is made from.
type build struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

func thisBuild() build {
	b := build{Version: server.Version(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

func (a *app) versionCommand() *cobra.Command {
	return a.jsonFlag(&cobra.Command{
		Use: "version", Short: "Print the version",
		Example: "  plic version\n  plic version --json",
		Args:    arguments(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			b := thisBuild()
			if a.json {
				return json.NewEncoder(a.out).Encode(b)
			}
			version := b.Version
			if version == "devel" && len(b.Revision) >= 12 {
				version += " " + b.Revision[:12]
			}
			fmt.Fprintf(a.out, "plic %s, %s, %s\n", version, b.Go, b.Platform)
			return nil
		},
	})
}
