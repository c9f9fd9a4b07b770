package auth

import (
	"errors"

	"plic/internal/sasl"

	"github.com/xdg-go/scram"
)

// oldClient is a client of any mechanism; those that we do not speak ourselves
// are made here.
func oldClient(mechanism, user, password string) sasl.Client {
	switch mechanism {
	case sasl.CRAM:
		return &cramClient{user: user, key: sasl.NewCRAMKey(password)}
	case sasl.SCRAM1:
		c, err := scram.SHA1.NewClient(user, password, "")
		if err != nil {
			panic(err)
		}
		return &scram1Client{c.NewConversation()}
	}
	c, err := sasl.Choose([]string{mechanism}, sasl.Credentials{User: user, Password: password}, true, nil)
	if err != nil {
		panic(err)
	}
	return c
}

type cramClient struct {
	user string
	key  sasl.CRAMKey
}

func (*cramClient) Mechanism() string { return sasl.CRAM }
func (*cramClient) Finish() error     { return nil }
func (c *cramClient) Next(challenge []byte) ([]byte, error) {
	if challenge == nil {
		return nil, nil
	}
	digest, err := c.key.Digest(challenge)
	return []byte(c.user + " " + digest), err
}

type scram1Client struct{ conv *scram.ClientConversation }

func (*scram1Client) Mechanism() string { return sasl.SCRAM1 }
func (c *scram1Client) Finish() error {
	if !c.conv.Valid() {
		return errors.New("the server has not proved itself")
	}
	return nil
}
func (c *scram1Client) Next(challenge []byte) ([]byte, error) {
	answer, err := c.conv.Step(string(challenge))
	return []byte(answer), err
}
