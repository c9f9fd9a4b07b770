package control

import (
	"context"
	"iter"
	"time"
)

// Spam is what is known of unwanted mail, and what follows from it.
type Spam interface {
	// Train learns a message; false says that it was learnt before.
	Train(ctx context.Context, l SpamLesson) (bool, error)
	// Learnt says how much the site has learnt and, of an account that is named, how
	// much that has.
	Learnt(ctx context.Context, account string) iter.Seq2[SpamLearnt, error]
	// Forget throws away what an account has taught, or the site for "".
	Forget(ctx context.Context, account string) error
	// Judge says what the score of a message would be, and why.
	Judge(ctx context.Context, q SpamQuestion) (SpamVerdict, error)
	// Replay holds what the journal has of past mail against other settings, and gives
	// what would have been decided otherwise; the last value has the sums.
	Replay(ctx context.Context, q SpamReplay) iter.Seq2[SpamReplayed, error]
	// Limits are those of an account, a domain, or the site for "".
	Limits(ctx context.Context, name string) (SpamLimits, error)
	SetLimits(ctx context.Context, l SpamLimits) error
	// Symbols are all that may be found in a message.
	Symbols(ctx context.Context) iter.Seq2[SpamSymbol, error]
}

// SpamLesson is a message to learn from.
type SpamLesson struct {
	Account string // "" teaches the site alone
	Spam    bool
	Message []byte
}

// SpamLearnt is how much is known.
type SpamLearnt struct {
	Account string  `json:"account,omitempty"` // "" is the site
	Ham     int     `json:"ham"`
	Spam    int     `json:"spam"`
	Minimum int     `json:"minimum"` // of each, before the words count
	Octets  int     `json:"octets"`
	Fill    float64 `json:"fill"`
	Senders int     `json:"senders,omitempty"` // whose reputation is known
	Waiting int     `json:"waiting,omitempty"` // known to greylisting
}

// SpamQuestion is a message, and how it came. Without IP nothing is asked about its
// sender.
type SpamQuestion struct {
	Account        string
	IP, Name, Helo string
	From           string
	To             []string
	Message        []byte
}

// SpamVerdict is the answer.
type SpamVerdict struct {
	Action string     `json:"action"`
	Score  float64    `json:"score"`
	Junk   float64    `json:"junk"` // the score from which on it goes there
	Reason string     `json:"reason,omitempty"`
	Hits   []SpamHit  `json:"hits"`
	Costs  []SpamCost `json:"costs"`
	Chance float64    `json:"chance"` // of being spam, by its words
	Words  []SpamWord `json:"words,omitempty"`
	// Sender is what was found of who sent it, and Ends what would become of it.
	Sender []SenderCheck `json:"sender,omitempty"`
	Ends   []SpamEnd     `json:"ends,omitempty"`
}

// SenderCheck is what one check of the sender says.
type SenderCheck struct {
	Method  string  `json:"method"`
	Subject string  `json:"subject,omitempty"`
	Result  string  `json:"result"`
	Reason  string  `json:"reason,omitempty"`
	Millis  float64 `json:"ms"`
}

// SpamEnd is what would become of a message for one recipient; To is "" if none was
// named.
type SpamEnd struct {
	To     string  `json:"to,omitempty"`
	Action string  `json:"action"` // "accept", "junk", "refuse"…
	Score  float64 `json:"score"`  // for this recipient
	Says   string  `json:"says"`
}

// SpamHit is something found in a message.
type SpamHit struct {
	Symbol string  `json:"symbol"`
	Score  float64 `json:"score"`
	Says   string  `json:"says"`
	Detail string  `json:"detail,omitempty"`
}

// SpamCost is what a part took to look at a message.
type SpamCost struct {
	Part    string  `json:"part"`
	Millis  float64 `json:"ms"`
	Trouble string  `json:"trouble,omitempty"`
}

// SpamWord is a word of a message that says something.
type SpamWord struct {
	Word   string  `json:"word"`
	Chance float64 `json:"chance"`
	Ham    int     `json:"ham"`
	Spam   int     `json:"spam"`
}

// SpamSymbol is something that may be found.
type SpamSymbol struct {
	Name   string  `json:"symbol"`
	Weight float64 `json:"weight"`
	Says   string  `json:"says"`
}

// SpamLimits are the scores from which on something is done, 0 being never. Of those
// that are set for a name, nil is that of its domain, or of the site.
type SpamLimits struct {
	Name       string   `json:"name,omitempty"`
	Tag        *float64 `json:"tag,omitempty"`
	Greylist   *float64 `json:"greylist,omitempty"`
	Junk       *float64 `json:"junk,omitempty"`
	Quarantine *float64 `json:"quarantine,omitempty"`
	Refuse     *float64 `json:"refuse,omitempty"`
	Subject    *string  `json:"subject,omitempty"`
}

// SpamReplay is the text of a configuration, and from when on mail is looked at.
type SpamReplay struct {
	Name   string // of the file, for what is wrong with it
	Config []byte
	Since  time.Time
}

// SpamReplayed is a message that would have gone another way, or, the last, the sums.
type SpamReplayed struct {
	*SpamChange
	Sums []SpamSum `json:"sums,omitempty"`
	// Silent is how many messages the journal does not tell enough of.
	Silent int `json:"silent,omitempty"`
}

// SpamChange is a decision that would have been another.
type SpamChange struct {
	Time        time.Time `json:"time"`
	Message     string    `json:"message"`
	From        string    `json:"from"`
	Remote      string    `json:"remote"`
	Before      string    `json:"before"`
	After       string    `json:"after"`
	ScoreBefore float64   `json:"score_before"`
	ScoreAfter  float64   `json:"score_after"`
	Why         string    `json:"why"`
}

// SpamSum is how many messages went one way and would have gone another, or the same.
type SpamSum struct {
	Before string `json:"before"`
	After  string `json:"after"`
	Count  int    `json:"count"`
}

type spamClient struct{ *Client }

func (c spamClient) Train(ctx context.Context, l SpamLesson) (bool, error) {
	return single[bool](ctx, c.Client, "spam/train", l)
}
func (c spamClient) Learnt(ctx context.Context, account string) iter.Seq2[SpamLearnt, error] {
	return ask[SpamLearnt](ctx, c.Client, "spam/learnt", name{account})
}
func (c spamClient) Forget(ctx context.Context, account string) error {
	return c.do(ctx, "spam/forget", name{account})
}
func (c spamClient) Judge(ctx context.Context, q SpamQuestion) (SpamVerdict, error) {
	return single[SpamVerdict](ctx, c.Client, "spam/judge", q)
}
func (c spamClient) Replay(ctx context.Context, q SpamReplay) iter.Seq2[SpamReplayed, error] {
	return ask[SpamReplayed](ctx, c.Client, "spam/replay", q)
}

func (c spamClient) Limits(ctx context.Context, who string) (SpamLimits, error) {
	return single[SpamLimits](ctx, c.Client, "spam/limits", name{who})
}
func (c spamClient) SetLimits(ctx context.Context, l SpamLimits) error {
	return c.do(ctx, "spam/set", l)
}
func (c spamClient) Symbols(ctx context.Context) iter.Seq2[SpamSymbol, error] {
	return ask[SpamSymbol](ctx, c.Client, "spam/symbols", nothing{})
}

// single asks for one value.
func single[T any](ctx context.Context, c *Client, operation string, in any) (T, error) {
	for v, err := range ask[T](ctx, c, operation, in) {
		return v, err
	}
	var zero T
	return zero, ErrNotFound
}
