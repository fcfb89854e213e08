package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

// console is where the demo tells what it does.
type console struct {
	out io.Writer
}

// title begins a part of the demo.
func (c console) title(text string) {
	c.say("\n%s\n%s", text, strings.Repeat("-", len(text)))
}

func (c console) say(format string, args ...any) {
	fmt.Fprintf(c.out, format+"\n", args...)
}

// clock is a moment as the demo writes it.
func clock(seconds int64) string { return time.Unix(seconds, 0).UTC().Format("15:04:05") }

// minute is a whole minute.
func minute(seconds int64) string { return time.Unix(seconds, 0).UTC().Format("15:04") }

// event is one thing that happened, and from when on it counts.
type event struct {
	at      int64 // seconds since the epoch
	where   string
	who     string
	happens string
}

func (c console) tell(e event) {
	c.say("  %s  %-8s%-22s%s", clock(e.at), e.where, e.who, e.happens)
}

// progress is where others' progress goes: indented, so that it reads as detail.
func (c console) progress() io.Writer { return indented(c) }

type indented struct{ out io.Writer }

func (w indented) Write(text []byte) (int, error) {
	for line := range bytes.Lines(text) {
		if _, err := fmt.Fprintf(w.out, "  %s", line); err != nil {
			return 0, err
		}
	}
	return len(text), nil
}
