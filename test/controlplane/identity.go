package controlplane

import "syscall"

// identity tells a process from a later one that was given the same number.
type identity struct {
	PID int `json:"pid"`
	// Started is when it started, in a form of the platform's own.
	Started string `json:"started"`
}

// alive tells whether the process still runs. One that has ended and that nobody has waited for yet does not.
func (i identity) alive() bool {
	now, ok := identify(i.PID)
	return ok && now == i
}

// signal does nothing when the process has ended.
func (i identity) signal(signal syscall.Signal) error {
	if !i.alive() {
		return nil
	}
	err := syscall.Kill(i.PID, signal)
	if err == syscall.ESRCH {
		return nil
	}
	return err
}
