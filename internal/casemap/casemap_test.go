package casemap

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestFold(t *testing.T) {
	t.Parallel()
	for _, same := range [][2]string{
		{"Hello", "hELLO"}, {"ÄPFEL", "äpfel"}, {"é", "e\u0301"}, {"ΣΑΣ", "σας"}, {"\u212a", "k"}, {"ﬁ", "FI"}, {"ｆｕｌｌ", "full"},
	} {
		if a, b := Fold(same[0]), Fold(same[1]); !bytes.Equal(a, b) {
			t.Errorf("%q folds to %q, %q to %q", same[0], a, same[1], b)
		}
	}
	for _, other := range [][2]string{{"a", "b"}, {"é", "e"}, {"ß", "ss"}} {
		if bytes.Equal(Fold(other[0]), Fold(other[1])) {
			t.Errorf("%q is %q", other[0], other[1])
		}
	}
}

// Where a text is cut while it is read makes no difference.
func TestReader(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "abc", "Grüße aus Köln", "漢字かな交じり文", "\xff\xfe \xe2\x82", strings.Repeat("aé", 3000)} {
		got, err := io.ReadAll(NewReader(iotest.OneByteReader(strings.NewReader(text))))
		if err != nil || !bytes.Equal(got, Fold(text)) {
			t.Errorf("%.40q read octet by octet folds to %.40q, %v; at once to %.40q", text, got, err, Fold(text))
		}
	}
}
