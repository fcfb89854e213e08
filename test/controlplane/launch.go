package controlplane

import "os/exec"

// Launch starts a command that dies with this process: on Linux however this ends, elsewhere with its process group.
func Launch(command *exec.Cmd) error { return launch(command, false) }
