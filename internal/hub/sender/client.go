package sender

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/usage-operator/usage-operator/internal/journal"
)

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 64 << 10

// Refusal says why the hub does not take a block, as it said it.
type Refusal struct {
	Reason, Detail, Next string
	// After is how long the hub asked to wait.
	After time.Duration
}

func (r *Refusal) Error() string { return fmt.Sprintf("%s: %s. %s", r.Reason, r.Detail, r.Next) }

// Away says that the hub did not answer, or that it cannot do it now: that passes.
type Away struct {
	// After is how long the hub asked to wait.
	After time.Duration
	error
}

func (a *Away) Unwrap() error { return a.error }

// Client asks a hub.
type Client struct {
	// URL is the hub's, without a path.
	URL string
	// Cluster is the UID of the cluster's namespace kube-system.
	Cluster string
	// Token returns the cluster's token. It is asked each time: the token may be rotated.
	Token func() (string, error)
	HTTP  *http.Client
}

// acknowledgement is an answer to what was done.
type acknowledgement struct {
	Cluster  string `json:"cluster"`
	Sequence uint64 `json:"sequence"`
	Digest   string `json:"digest"`
}

// Head is the sequence of the last block that the hub has.
func (c *Client) Head(ctx context.Context) (uint64, error) {
	ack, err := c.ask(ctx, http.MethodGet, "", nil)
	return ack.Sequence, err
}

// Send sends a block. An acknowledgement of something else is none.
func (c *Client) Send(ctx context.Context, block *journal.Whole, spec []byte) error {
	ack, err := c.ask(ctx, http.MethodPut, "/blocks/"+block.String(), spec)
	if err != nil {
		return err
	}
	if want := (acknowledgement{Cluster: c.Cluster, Sequence: block.To, Digest: block.Link.String()}); ack != want {
		return &Refusal{Reason: "OtherAnswer", Detail: fmt.Sprintf("block %s was answered with %+v, and its acknowledgement is %+v", block.Key, ack, want),
			Next: "Look whether the URL is that of a hub of this version, and what is in front of it."}
	}
	return nil
}

func (c *Client) ask(ctx context.Context, method, path string, body []byte) (acknowledgement, error) {
	token, err := c.Token()
	if err != nil {
		return acknowledgement{}, &Away{error: fmt.Errorf("the hub's token: %w", err)}
	}
	url := strings.TrimSuffix(c.URL, "/") + "/v1alpha1/clusters/" + c.Cluster + path
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return acknowledgement{}, err
	}
	request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.HTTP.Do(request)
	if err != nil {
		return acknowledgement{}, &Away{error: err}
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return acknowledgement{}, &Away{error: err}
	}
	if answer.StatusCode != http.StatusOK {
		return acknowledgement{}, refusalOf(answer, text)
	}
	var ack acknowledgement
	if err := json.Unmarshal(text, &ack); err != nil {
		return ack, &Refusal{Reason: "OtherAnswer", Detail: "the answer is not a hub's: " + err.Error(), Next: "Look whether the URL is that of a hub."}
	}
	return ack, nil
}

// reasons are what a hub has as one: names, that conditions and metrics can have.
var reasons = regexp.MustCompile(`^[A-Z][A-Za-z]{1,39}$`)

// graphic is a text that does nothing to a terminal.
func graphic(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return -1
	}, text)
}

// refusalOf is why the hub did not do it.
func refusalOf(answer *http.Response, text []byte) error {
	seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
	after := min(time.Duration(max(seconds, 0))*time.Second, time.Hour)
	var problem struct{ Title, Detail, Next string }
	if json.Unmarshal(text, &problem) != nil || !reasons.MatchString(problem.Title) {
		problem.Title, problem.Detail = "OtherAnswer", fmt.Sprintf("the answer is %s, and not a hub's", answer.Status)
		problem.Next = "Look whether the URL is that of a hub, and what is in front of it."
	}
	problem.Detail, problem.Next = graphic(problem.Detail), graphic(problem.Next)
	if answer.StatusCode >= http.StatusInternalServerError || answer.StatusCode == http.StatusTooManyRequests {
		return &Away{After: after, error: errors.New(problem.Title + ": " + problem.Detail)}
	}
	return &Refusal{Reason: problem.Title, Detail: problem.Detail, Next: problem.Next, After: after}
}
