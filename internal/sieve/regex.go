package sieve

import (
	"errors"
	"regexp"
	"regexp/syntax"
)

// expression is a regular expression with its weight: about how many
// instructions it is compiled to, which its time and memory grow with.
type expression struct {
	*regexp.Regexp
	weight int
}

// The bounds of an expression: octets and weight. Go's take time in proportion
// to the text, but "(a?){1000}" a thousand times as much as "a".
const (
	maxRegex  = 4096
	maxWeight = 20_000
)

var errHeavy = errors.New("it is too large")

func (mt *matching) regex(expr string) (expression, error) {
	if len(expr) > maxRegex {
		return expression{}, errHeavy
	}
	if mt.cmp != octet {
		expr = "(?i)" + expr
	}
	parsed, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return expression{}, err
	}
	w := weigh(parsed)
	if w > maxWeight {
		return expression{}, errHeavy
	}
	re, err := regexp.Compile(expr)
	return expression{re, w}, err
}

// weigh gives the weight of an expression before its repetitions are written out.
// Those within each other are a thousand at most, or they do not parse.
func weigh(re *syntax.Regexp) int {
	w := 1 + len(re.Rune)/8
	if re.Op == syntax.OpLiteral {
		w = len(re.Rune)
	}
	for _, sub := range re.Sub {
		w += weigh(sub)
	}
	if re.Op == syntax.OpRepeat {
		w *= max(re.Min+1, re.Max, 1)
	}
	return w
}

// expressions compiles the expressions that are known.
func (c *compiler) expressions(mt *matching) error {
	if mt.kind != "regex" {
		return nil
	}
	for _, k := range mt.keys {
		if k.parts != nil {
			mt.compiled = append(mt.compiled, expression{})
			continue
		}
		re, err := mt.regex(k.plain)
		if err != nil {
			return errorAt(mt.Pos, "%.200q is no regular expression: %v", k.plain, err)
		}
		if c.sum.weight += re.weight; c.sum.weight > c.o.Limits.Regexes {
			return errorAt(mt.Pos, "the regular expressions are too large together")
		}
		mt.compiled = append(mt.compiled, re)
	}
	return nil
}
