package usageapi

import (
	"bufio"
	"encoding/json"
	"io"
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
	text, err := json.Marshal(element)
	if err != nil {
		return err
	}
	separator := ",\n"
	if !a.begun {
		separator = a.begin()
	}
	_, _ = io.WriteString(a.out, separator) // the writer keeps the error
	if _, err := a.out.Write(text); err != nil {
		return errGone
	}
	return nil
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
