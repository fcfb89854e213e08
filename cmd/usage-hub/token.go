package main

import (
	"context"
	"fmt"

	"github.com/usage-operator/usage-operator/internal/hub"
)

//nolint:gosec // no token is in it
const aboutToken = `Make a token of 256 random bits for one who may ask, and its SHA-256 for the
fleet file. The token is kept nowhere: give it to the reader, and put the other
under tokenSHA256. A reader may have several, so that one can be replaced.

It asks no database. The SHA-256 of a token that there is:
  printf %s "$TOKEN" | sha256sum

Usage:
  usage-hub token

Example of a fleet file:
  readers:
  - name: finance
    tokenSHA256: [SHA-256]
    sees:
    - clusters: ["*"]
  - name: shop
    tokenSHA256: [SHA-256]
    sees:
    - clusters: [eu-1, us-1]
      namespaces: [shop]
  customers:
  - name: acme
    namespaces:
    - clusters: ["*"]
      names: [shop, shop-dev]
`

func (p *program) token(_ context.Context, args []string) (int, error) {
	o := p.bare("token", aboutToken)
	if err := o.parse(args); err != nil {
		return exitFailed, err
	}
	token, hash := hub.ReaderToken()
	if _, err := fmt.Fprintf(p.stdout, "token   %s\nsha256  %s\n", token, hash); err != nil {
		return exitFailed, err
	}
	return exitDone, nil
}
