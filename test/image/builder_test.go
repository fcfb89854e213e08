package image_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// module is a context with a program that prints its version.
var module = map[string]string{
	"go.mod":          "module example.com/program\n\ngo 1.26.0\n",
	"main.go":         "package main\n\nvar version = \"none\"\n\nfunc main() { println(version) }\n",
	"folder/a.txt":    "a",
	"folder/in/b.txt": "b",
}

func newBuilder(t *testing.T) *builder {
	t.Helper()
	b := &builder{context: t.TempDir(), work: t.TempDir(), arguments: map[string]string{"GIVEN": "given"}}
	for name, content := range module {
		path := filepath.Join(b.context, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// TestBuilderCopies compares where COPY puts files with Docker's reference.
func TestBuilderCopies(t *testing.T) {
	for instruction, want := range map[string]string{
		"COPY go.mod main.go ./":  "/src/go.mod /src/main.go",
		"COPY go.mod main.go to/": "/src/to/go.mod /src/to/main.go",
		"COPY go.mod /other":      "/other",
		"COPY go.mod /other/":     "/other/go.mod",
		"COPY go.mod other":       "/src/other",
		"COPY folder .":           "/src/a.txt /src/in/b.txt",
		"COPY folder to":          "/src/to/a.txt /src/to/in/b.txt",
		"COPY . .":                "/src/folder/a.txt /src/folder/in/b.txt /src/go.mod /src/main.go",
		"COPY --from=one /x/a .":  "/src/a",
	} {
		b := newBuilder(t)
		s, err := b.build(t.Context(), "FROM base AS one\nCOPY go.mod /x/a\nFROM base\nWORKDIR /src\n"+instruction)
		if err != nil {
			t.Errorf("%s: %v", instruction, err)
			continue
		}
		everything, err := readIgnores(strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		files, err := everything.files(s.root)
		if got := "/" + strings.Join(files, " /"); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", instruction, got, err, want)
		}
	}
}

// TestBuilderArguments compares which arguments a stage sees with Docker's reference.
func TestBuilderArguments(t *testing.T) {
	for dockerfile, want := range map[string]string{
		"FROM base":                                     "",
		"FROM base\nARG GIVEN":                          "GIVEN=given",
		"FROM base\nARG GIVEN=default":                  "GIVEN=given",
		"FROM base\nARG OTHER=default":                  "OTHER=default",
		"FROM base\nARG OTHER=":                         "OTHER=",
		"FROM base\nARG OTHER":                          "",
		"ARG GIVEN\nFROM base":                          "",
		"ARG OTHER=global\nFROM base\nARG OTHER":        "OTHER=global",
		"ARG OTHER=global\nFROM base\nARG OTHER=own":    "OTHER=own",
		"FROM base AS one\nARG GIVEN\nFROM base AS two": "",
	} {
		s, err := newBuilder(t).build(t.Context(), dockerfile)
		if err != nil {
			t.Errorf("%q: %v", dockerfile, err)
			continue
		}
		if got := strings.Join(s.environment, " "); got != want {
			t.Errorf("%q: %q, want %q", dockerfile, got, want)
		}
	}
}

// TestBuilderRefuses has what the builder does not know, and what fails in a container, too.
func TestBuilderRefuses(t *testing.T) {
	for _, dockerfile := range []string{
		"",
		"RUN go mod download",
		"# syntax=docker/dockerfile:1\nFROM base",
		"# escape=`\nFROM base",
		"FROM ${MISSING}",
		"FROM --platform=linux/amd64 base",
		"FROM base AS one\nFROM one",
		"FROM base\nADD . .",
		"FROM base\nENV A=b",
		"FROM base\nARG A=${B}",
		"FROM base\nARG A=\"b\"",
		"FROM base\nWORKDIR src",
		"FROM base\nWORKDIR /src/../..",
		"FROM base\nCOPY missing.go .",
		"FROM base\nCOPY *.go ./",
		"FROM base\nCOPY ../x .",
		"FROM base\nCOPY go.mod",
		"FROM base\nCOPY go.mod main.go to",
		"FROM base\nCOPY --chown=1:1 go.mod .",
		"FROM base\nCOPY --from=missing /x .",
		"FROM base AS one\nCOPY --from=one /x .",
		"FROM base\nRUN echo",
		"FROM base\nRUN [\"go\", \"build\"]",
		"FROM base\nRUN --mount=type=cache,target=/x go build",
		"FROM base\nRUN go build \\\n  .",
		"FROM base\nRUN A=$(x) go mod download",
		"FROM base\nRUN A=b;x go mod download",
		"FROM base\nRUN go build . && rm -rf x",
		"FROM base\nRUN go build -ldflags=\"$(x)\" .",
		"FROM base\nRUN go build -o /x -pkgdir /y .",
		"FROM base\nRUN go build -o /x .", // there is no go.mod
		"FROM base\nCOPY go.mod .\nRUN go build -o /x .",
		"FROM base\nUSER",
		"FROM base\nENTRYPOINT /x",
		"FROM base\nENTRYPOINT []",
		"from base",
	} {
		if _, err := newBuilder(t).build(t.Context(), dockerfile); err == nil {
			t.Errorf("%q is built", dockerfile)
		}
	}
}
