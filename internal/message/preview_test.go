package message_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"plic/internal/message"
)

// TestPreviewOfLongText: whatever octet the beginning of a text is cut at, the
// preview is its first 200 characters.
func TestPreviewOfLongText(t *testing.T) {
	t.Parallel()
	for shift := range 8 {
		for _, word := range []string{"plain ", "Grüße ", "日本語", "привет ", "😀😀"} {
			text := strings.Repeat("x", shift) + strings.Repeat(word, 2000/len(word))
			want := ""
			for _, r := range text {
				if utf8.RuneCountInString(want) == 200 {
					break
				}
				want += string(r)
			}
			want = strings.TrimSpace(want)
			wrapped := base64.StdEncoding.EncodeToString([]byte(text))
			for i := 76; i < len(wrapped); i += 78 {
				wrapped = wrapped[:i] + "\r\n" + wrapped[i:]
			}
			var quoted strings.Builder
			for i, c := range []byte(text) {
				if i%20 == 19 {
					quoted.WriteString("=\r\n")
				}
				fmt.Fprintf(&quoted, "=%02X", c)
			}
			for encoding, body := range map[string]string{"8bit": text, "base64": wrapped, "quoted-printable": quoted.String()} {
				for _, charset := range []string{"", "; charset=utf-8"} {
					raw := "Content-Type: text/plain" + charset + "\r\nContent-Transfer-Encoding: " + encoding + "\r\n\r\n" + body
					m := message.ParseBytes([]byte(raw), message.Limits{})
					if m.Text != want {
						t.Errorf("%q by %s%s:\ngot  %s\nwant %s", word, encoding, charset, m.Text, want)
					}
				}
			}
		}
	}
}
