package usageapi

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// array writes a JSON object whose last field is an array, an element at a time,
// so that it is never held whole. Nothing is written before the first element, or the
// end: until then a request can be refused.
type array struct {
	call   *call
	out    *bufio.Writer
	before string // other fields, each with a comma after it
	field  string
	begun  bool
}

// arrayBuffer is how much is written at once.
const arrayBuffer = 32 << 10

func (c *call) array(field string) *array {
	return &array{call: c, out: bufio.NewWriterSize(c.writer, arrayBuffer), field: field}
}

func (a *array) add(element any) error {
	if err := a.separate(); err != nil {
		return err
	}
	return a.value(element)
}

// separate begins an element.
func (a *array) separate() error {
	if err := a.call.pause(); err != nil {
		return a.call.ended(err)
	}
	separator := ",\n"
	if !a.begun {
		separator = a.begin()
	}
	return a.text(separator)
}

func (a *array) text(text string) error {
	if _, err := io.WriteString(a.out, text); err != nil {
		return errGone
	}
	return nil
}

// value writes the JSON of something small.
func (a *array) value(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if _, err := a.out.Write(text); err != nil {
		return errGone
	}
	return nil
}

// addList adds an element one of whose fields is a list that may be long, which is an empty
// array in the element's JSON. Others have the processor in between.
func addList[T any](a *array, element any, field string, list []T, write func(*T) error) error {
	if err := a.separate(); err != nil {
		return err
	}
	return a.object(element, field, len(list), func(i int) error { return write(&list[i]) })
}

// object writes an element, and n items as its field.
func (a *array) object(element any, field string, n int, item func(i int) error) error {
	text, err := json.Marshal(element)
	if err != nil {
		return err
	}
	// Within a string there is a backslash before each quote.
	before, after, found := strings.Cut(string(text), `"`+field+`":[]`)
	if !found {
		return fmt.Errorf("usageapi: the JSON of a %T has no empty array %q", element, field)
	}
	if err := a.text(before + `"` + field + `":[`); err != nil {
		return err
	}
	for i := range n {
		if err := a.call.pause(); err != nil {
			return a.call.ended(err)
		}
		if i > 0 {
			if err := a.text(","); err != nil {
				return err
			}
		}
		if err := item(i); err != nil {
			return err
		}
	}
	return a.text("]" + after)
}

func (a *array) begin() string {
	a.begun = true
	a.call.begin()
	return "{" + a.before + `"` + a.field + `":[` + "\n"
}

// end ends it.
func (a *array) end() error {
	text := "\n]}\n"
	if !a.begun {
		text = a.begin() + "]}\n"
	}
	_, _ = io.WriteString(a.out, text)
	if a.out.Flush() != nil {
		return errGone
	}
	return nil
}
