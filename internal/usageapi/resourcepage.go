package usageapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/usage-operator/usage-operator/internal/timeline"
	"github.com/usage-operator/usage-operator/internal/usage"
)

// maxSegments is how many segments a page of resources has at most, however many
// resources it might have: about 3 MiB of JSON. A resource that alone has more is divided,
// but what it holds at one moment never is. Where there is room for less, a page has fewer
// resources, and none of them is divided for that: what is said of one does not depend on
// who else asks.
const maxSegments = 5000

// resourcePage is a page of resources, and the cursor of the next one; nil after the
// last. From now on the call takes as much memory as the page does.
func (c *call) resourcePage(f *timeline.Filters, w usage.Window, after timeline.Place, limit int) ([]timeline.History, *string, error) {
	list, more, err := c.snapshot.Resources(c.ctx, f, w, after, timeline.Bounds{Resources: limit, Segments: c.segments, Each: maxSegments, Room: c.room})
	if gone := c.alive(); gone != nil {
		return nil, nil, gone
	}
	if err != nil {
		return nil, nil, err
	}
	segments, most := 0, 0
	for i := range list {
		n := len(list[i].Segments) + len(list[i].Less) + len(list[i].More)
		segments, most = segments+n, max(most, n)
	}
	c.takes(int64(segments*segmentWeight + most*shownWeight))
	c.segments = 0 // another page has to be admitted
	if more == nil {
		return list, nil, nil
	}
	next := placeCursor(*more)
	return list, &next, nil
}

// room waits until so many segments of one resource are admitted, where that are more than the call has
// room for. It gives back what it has meanwhile: what waits for memory holds none. What it needs is
// not what begins, and nothing of the part that is kept for that.
func (c *call) room(segments int) error {
	return c.rest(func() (err error) {
		c.share.Release()
		c.share, err = c.admission.memory.Resume(c.ctx, c.tenant, baseWeight+int64(segments)*(segmentWeight+shownWeight))
		return tooBusy(err)
	})
}

// placeCursor is of the page that begins at a place.
func placeCursor(at timeline.Place) string {
	text, err := json.Marshal(at)
	if err != nil {
		panic(fmt.Sprintf("usageapi: a cursor has no JSON: %v", err)) // strings and a number have
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func parseResourceCursor(text string) (at timeline.Place, err error) {
	if text == "" {
		return at, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(raw, &at) != nil {
		return at, badRequest("cursor cannot be read: take pagination.next_cursor of the page before, or none to begin with the first page")
	}
	return at, nil
}
