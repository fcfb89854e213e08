package wire

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
)

// Audience is what a token is for that is good for the usage API alone.
const Audience = "usage-api.metering.usage-operator.dev"

// Claims are what a token says of itself. Nobody has verified them: they say what to ask about it.
type Claims struct {
	Subject   string
	Audiences []string
}

// Named tells whether the usage API is among those that the token is for.
func (c Claims) Named() bool { return slices.Contains(c.Audiences, Audience) }

// ServiceAccount is whose the token is.
func (c Claims) ServiceAccount() (namespace, name string, is bool) {
	rest, is := strings.CutPrefix(c.Subject, "system:serviceaccount:")
	if !is {
		return "", "", false
	}
	namespace, name, is = strings.Cut(rest, ":")
	return namespace, name, is && namespace != "" && name != ""
}

// ClaimsOf reads a JSON web token. Of any other there are none.
func ClaimsOf(token string) (c Claims) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return Claims{}
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return Claims{}
	}
	var said struct {
		Sub string          `json:"sub"`
		Aud json.RawMessage `json:"aud"`
	}
	if json.Unmarshal(text, &said) != nil {
		return Claims{}
	}
	c.Subject = said.Sub
	if json.Unmarshal(said.Aud, &c.Audiences) != nil { // one may be written without a list
		var one string
		if json.Unmarshal(said.Aud, &one) == nil {
			c.Audiences = []string{one}
		}
	}
	return c
}
