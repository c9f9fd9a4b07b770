package table

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Inline is the spec of a table that holds these pairs.
func Inline(entries map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		parts = append(parts, strconv.Quote(key)+"="+strconv.Quote(entries[key]))
	}
	return "inline:{" + strings.Join(parts, ", ") + "}"
}

// openInline reads "{key=value, "key"="value"}". Keys and values stand in
// quotes if they hold a comma, a quote or an equals sign.
func openInline(text string) (Table, error) {
	all, err := ParseInline(text)
	if err != nil {
		return nil, err
	}
	p := pairs{}
	for key, value := range all {
		if err := p.add(key, value); err != nil {
			return nil, err
		}
	}
	return fixed{p}, nil
}

// ParseInline gives the pairs of the argument of an inline spec.
func ParseInline(text string) (map[string]string, error) {
	inner, opens := strings.CutPrefix(strings.TrimSpace(text), "{")
	inner, closes := strings.CutSuffix(inner, "}")
	if !opens || !closes {
		return nil, errors.New("an inline table is {key=value, key=value}")
	}
	all := map[string]string{}
	for rest := strings.TrimSpace(inner); rest != ""; {
		key, after, err := word(rest, "=")
		if err != nil {
			return nil, err
		}
		after, ok := strings.CutPrefix(after, "=")
		if !ok || key == "" {
			return nil, fmt.Errorf("%q has no key=value", rest)
		}
		value, after, err := word(strings.TrimSpace(after), ",")
		if err != nil {
			return nil, err
		}
		if _, twice := all[key]; twice {
			return nil, fmt.Errorf("%q is there twice", key)
		}
		all[key] = value
		if after != "" && after[0] != ',' {
			return nil, fmt.Errorf("a comma is wanted before %q", after)
		}
		rest = strings.TrimSpace(strings.TrimPrefix(after, ","))
	}
	return all, nil
}

// word reads a word in quotes, or one up to a separator.
func word(text, until string) (word, rest string, err error) {
	if strings.HasPrefix(text, `"`) {
		quoted, err := strconv.QuotedPrefix(text)
		if err != nil {
			return "", "", fmt.Errorf("the quote of %s does not end", text)
		}
		word, err = strconv.Unquote(quoted)
		return word, strings.TrimSpace(text[len(quoted):]), err
	}
	i := strings.Index(text, until)
	if i < 0 {
		i = len(text)
	}
	return strings.TrimSpace(text[:i]), text[i:], nil
}
