package source

import "context"

// recover goes on where the watch cannot.
func (s *Source) recover(context.Context) error {
	s.lost = true
	return nil
}
