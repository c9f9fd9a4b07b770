package clients

import (
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"plic/test/trial"
)

// PHP's functions are the c-client library, on which alpine and old webmails
// are built.
func TestPHP(t *testing.T) {
	t.Parallel()
	trial.Need(t, "php")
	if !strings.Contains(run(t, "php", "-m").ok(t), "\nimap\n") {
		lacks(t, "PHP is there without imap")
	}
	s := trial.Start(t, program, ann)
	execute(t, exec.Command("php", "testdata/imap.php", strconv.Itoa(s.Port(trial.IMAPS)), ann.Name, ann.Password)).ok(t)
}
