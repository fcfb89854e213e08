package usagecli

import (
	"errors"
	"io"
	"syscall"
)

// output is where answers are written. It knows when what it writes is not read any more: head
// has its lines. What else breaks so, as a connection to a pod does, is an error like others.
type output struct {
	io.Writer
	closed bool
}

// Write writes to the stream.
func (o *output) Write(text []byte) (int, error) {
	n, err := o.Writer.Write(text)
	o.closed = o.closed || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
	return n, err
}

// Fd is the stream's, by which a terminal is recognized; one that no file has, where it is no file.
func (o *output) Fd() uintptr {
	if file, is := o.Writer.(interface{ Fd() uintptr }); is {
		return file.Fd()
	}
	return ^uintptr(0)
}
