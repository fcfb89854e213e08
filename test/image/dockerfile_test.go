package image_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// builder does what a Dockerfile says without a container: each stage's file system is a folder, and commands run in
// it with the Go of this machine. It knows the instructions and forms that the Dockerfile of the operator has, and
// fails on every other: what it does not understand, it has not built. (BuildKit's own parser is no choice: requiring
// its module moves the operator to other versions of gRPC and OpenTelemetry.)
type builder struct {
	// context is the folder that COPY copies from, and work the one that the stages' file systems are made in.
	context, work string
	// arguments are what is given by --build-arg, and what builders set by themselves: TARGETOS, TARGETARCH.
	arguments map[string]string

	global map[string]string // the ARGs before the first FROM
	stages []*stage
}

// stage is one FROM, and what came of it.
type stage struct {
	image, name string
	root        string // the folder that is its file system
	workdir     string // absolute, in the stage
	environment []string
	user        string
	entrypoint  []string
}

// build does what the Dockerfile says, and returns its last stage.
func (b *builder) build(ctx context.Context, dockerfile string) (*stage, error) {
	b.global = map[string]string{}
	for i, line := range strings.Split(dockerfile, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") && !directive.MatchString(line) {
			continue
		}
		instruction, rest, _ := strings.Cut(line, " ")
		if err := b.step(ctx, instruction, strings.TrimSpace(rest)); err != nil {
			return nil, fmt.Errorf("line %d, %s: %w", i+1, line, err)
		}
	}
	if len(b.stages) == 0 {
		return nil, errors.New("there is no FROM")
	}
	return b.stages[len(b.stages)-1], nil
}

// directive is a comment that changes how the rest is read: # escape=`
var directive = regexp.MustCompile(`^#\s*\w+\s*=`)

func (b *builder) step(ctx context.Context, instruction, rest string) error {
	if strings.HasSuffix(rest, `\`) || strings.Contains(rest, "<<") {
		return errors.New("an instruction of several lines is not known")
	}
	switch instruction {
	case "ARG":
		return b.arg(rest)
	case "FROM":
		return b.from(rest)
	}
	if len(b.stages) == 0 {
		return errors.New("it is before the first FROM, or not known")
	}
	s := b.stages[len(b.stages)-1]
	switch instruction {
	case "WORKDIR":
		return s.workIn(rest)
	case "COPY":
		return b.copy(s, rest)
	case "RUN":
		return s.run(ctx, rest)
	case "USER":
		if s.user = rest; !user.MatchString(rest) {
			return errors.New("want numbers: USER:GROUP")
		}
		return nil
	case "ENTRYPOINT":
		err := json.Unmarshal([]byte(rest), &s.entrypoint)
		if err == nil && len(s.entrypoint) == 0 {
			err = errors.New("want a program")
		}
		return err
	}
	return errors.New("the instruction is not known")
}

// user is one that Kubernetes can tell from root (runAsNonRoot), as it knows no names.
var user = regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`)

var argForm = regexp.MustCompile(`^([A-Z_]+)(=([\w./:@-]*))?$`)

// arg declares an argument. What is given is seen only where it is declared; an ARG before the first FROM is for
// FROMs, and for the stages that declare it again.
func (b *builder) arg(rest string) error {
	parts := argForm.FindStringSubmatch(rest)
	if parts == nil {
		return errors.New("this form is not known")
	}
	name, value, known := parts[1], parts[3], parts[2] != ""
	if inherited, ok := b.global[name]; ok && !known {
		value, known = inherited, true
	}
	if given, ok := b.arguments[name]; ok {
		value, known = given, true
	}
	switch {
	case !known:
	case len(b.stages) == 0:
		b.global[name] = value
	default:
		s := b.stages[len(b.stages)-1]
		s.environment = append(s.environment, name+"="+value)
	}
	return nil
}

var fromForm = regexp.MustCompile(`^(\$\{([A-Z_]+)\}|[a-z0-9][\w./:@-]*)( AS ([a-z]+))?$`)

func (b *builder) from(rest string) error {
	parts := fromForm.FindStringSubmatch(rest)
	if parts == nil {
		return errors.New("this form is not known")
	}
	s := &stage{image: parts[1], name: parts[4], workdir: "/"}
	if parts[2] != "" {
		s.image = b.global[parts[2]]
	}
	if s.image == "" || b.stage(s.image) != nil {
		return fmt.Errorf("want the image of a registry, got %q", s.image)
	}
	s.root = filepath.Join(b.work, fmt.Sprint(len(b.stages)))
	b.stages = append(b.stages, s)
	return os.MkdirAll(s.root, 0o755)
}

func (b *builder) stage(name string) *stage {
	for _, s := range b.stages {
		if s.name != "" && s.name == name {
			return s
		}
	}
	return nil
}

// plain is a path without wildcards, arguments, quotes and ways upwards.
var plain = regexp.MustCompile(`^(\.|(\./|/)?[\w-][\w.-]*(/[\w-][\w.-]*)*/?|\./)$`)

func (s *stage) workIn(rest string) error {
	if !plain.MatchString(rest) || !path.IsAbs(rest) {
		return errors.New("want a plain absolute path")
	}
	s.workdir = rest
	return os.MkdirAll(filepath.Join(s.root, rest), 0o755)
}

// copy copies files and folders from the context or from an earlier stage. Of a folder its content is copied.
func (b *builder) copy(s *stage, rest string) error {
	source, words := b.context, strings.Fields(rest)
	if len(words) == 0 {
		return errors.New("want paths: from where, and to where")
	}
	if name, ok := strings.CutPrefix(words[0], "--from="); ok {
		earlier := b.stage(name)
		if earlier == nil || earlier == s {
			return fmt.Errorf("there is no stage %q before", name)
		}
		source, words = earlier.root, words[1:]
	}
	if len(words) < 2 || slices.ContainsFunc(words, func(word string) bool { return !plain.MatchString(word) }) {
		return errors.New("want plain paths: from where, and to where")
	}
	sources, to := words[:len(words)-1], words[len(words)-1]
	target := filepath.Join(s.root, s.workdir, to)
	if path.IsAbs(to) {
		target = filepath.Join(s.root, to)
	}
	into := to == "." || strings.HasSuffix(to, "/")
	if len(sources) > 1 && !into {
		return fmt.Errorf("several files go to a folder: %s/", to)
	}
	for _, name := range sources {
		if err := copyTo(filepath.Join(source, name), target, into); err != nil {
			return err
		}
	}
	return nil
}

// copyTo copies a folder's content into the target, and a file to it, or, where that is said, into it.
func copyTo(from, target string, into bool) error {
	info, err := os.Stat(from)
	switch {
	case err != nil:
		return err
	case info.IsDir():
		return copyFolder(from, target)
	case into:
		target = filepath.Join(target, filepath.Base(from))
	}
	return copyFile(from, target)
}

func copyFolder(from, to string) error {
	all, err := readIgnores(strings.NewReader(""))
	if err != nil {
		return err
	}
	files, err := all.files(from)
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := copyFile(filepath.Join(from, file), filepath.Join(to, file)); err != nil {
			return err
		}
	}
	return nil
}

var (
	// goCommand is all that is run on this machine: one go build or go mod download, that expands arguments only.
	goCommand = regexp.MustCompile("^([A-Z_]+=[\\w${}]* )*go (build|mod download)( [^;|&<>()`\\\\]*)?$")
	// output is where go build writes. It is a path in the stage.
	output = regexp.MustCompile(` -o (/[\w./-]+)`)
	// absolute is any other path that is absolute.
	absolute = regexp.MustCompile(`(^|[ ='"])/`)
)

// run runs a command in the stage, with the caches and the module proxy of this machine.
func (s *stage) run(ctx context.Context, script string) error {
	if !goCommand.MatchString(script) {
		return errors.New("only a plain go build and go mod download are run")
	}
	script = output.ReplaceAllString(script, ` -o "$${STAGE_ROOT}$1"`)
	if absolute.MatchString(script) {
		return errors.New("an absolute path that is not go build's -o is not known")
	}
	command := exec.CommandContext(ctx, "sh", "-c", script)
	command.Dir = filepath.Join(s.root, s.workdir)
	command.Env = append(goEnvironment(), "STAGE_ROOT="+s.root, "PWD="+command.Dir)
	command.Env = append(command.Env, s.environment...)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// machine names what a command may know of this machine: where Go is and keeps its caches, and how it gets modules.
var machine = strings.Fields(`PATH HOME TMPDIR XDG_CACHE_HOME XDG_CONFIG_HOME NETRC SSL_CERT_FILE SSL_CERT_DIR
	HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy
	GOROOT GOPATH GOCACHE GOMODCACHE GOENV GOPROXY GOSUMDB GOPRIVATE GONOPROXY GONOSUMDB GOINSECURE GOAUTH`)

// goEnvironment is as in the image golang: its own Go and no other, no workspace, no flags.
func goEnvironment() []string {
	environment := []string{"GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=-mod=readonly"}
	for _, name := range machine {
		if value, ok := os.LookupEnv(name); ok {
			environment = append(environment, name+"="+value)
		}
	}
	return environment
}
