// Program ui bundles the page in ui/ into internal/dashboard/assets, which is committed, so
// that the operator is built without npm. With -check it writes nothing, and fails unless what
// is committed is what it would write. It needs npm, for the libraries of package-lock.json.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/evanw/esbuild/pkg/api"
)

const assets = "internal/dashboard/assets"

// shipped are the libraries that are in the bundle.
var shipped = []string{"preact", "@preact/signals", "@preact/signals-core", "uplot"}

func main() {
	check := flag.Bool("check", false, "fail unless what is committed is current")
	root := flag.String("root", "../..", "the repository")
	flag.Parse()
	if err := run(*root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "ui:", err)
		os.Exit(1)
	}
}

func run(root string, check bool) error {
	source := filepath.Join(root, "ui")
	if _, err := exec.LookPath("npm"); err != nil {
		if check {
			fmt.Fprintln(os.Stderr, "ui: there is no npm: the page's bundle is not compared with ui/")
			return nil
		}
		return errors.New("there is no npm: install Node.js with npm")
	}
	if err := install(source); err != nil {
		return err
	}
	files, err := bundle(source)
	if err != nil {
		return err
	}
	for name, text := range files {
		path := filepath.Join(root, assets, name)
		if !check {
			if err := os.WriteFile(path, text, 0o644); err != nil {
				return err
			}
			continue
		}
		if there, err := os.ReadFile(path); err != nil || !bytes.Equal(there, text) {
			return fmt.Errorf("%s/%s is not what ui/ gives: run make ui, and commit it", assets, name)
		}
	}
	return nil
}

// install gets the libraries of the lock file, unless they are there.
func install(source string) error {
	lock, err := os.Stat(filepath.Join(source, "package-lock.json"))
	if err != nil {
		return err
	}
	if there, err := os.Stat(filepath.Join(source, "node_modules", ".package-lock.json")); err == nil && there.ModTime().After(lock.ModTime()) {
		return nil
	}
	npm := exec.Command("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
	npm.Dir, npm.Stdout, npm.Stderr = source, os.Stderr, os.Stderr
	return npm.Run()
}

// bundle is what is served, by name.
func bundle(source string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, entry := range []string{"main.jsx", "app.css"} {
		made := api.Build(api.BuildOptions{
			EntryPoints: []string{filepath.Join(source, "src", entry)}, Bundle: true, Format: api.FormatESModule, Target: api.ES2022,
			MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true, JSX: api.JSXAutomatic, JSXImportSource: "preact",
			LegalComments: api.LegalCommentsNone, Outdir: "/", LogLevel: api.LogLevelWarning,
		})
		if len(made.Errors) > 0 {
			return nil, errors.New(made.Errors[0].Text)
		}
		files["app"+map[string]string{"main.jsx": ".js", "app.css": ".css"}[entry]] = made.OutputFiles[0].Contents
	}
	for _, name := range []string{"index.html", "icon.svg"} {
		text, err := os.ReadFile(filepath.Join(source, "src", name))
		if err != nil {
			return nil, err
		}
		files[name] = text
	}
	var err error
	files["licenses.txt"], err = licences(source)
	return files, err
}

// licences are the texts of what is in the bundle.
func licences(source string) ([]byte, error) {
	var out bytes.Buffer
	for _, name := range shipped {
		folder := filepath.Join(source, "node_modules", filepath.FromSlash(name))
		var about struct{ Version, License string }
		text, err := os.ReadFile(filepath.Join(folder, "package.json"))
		if err == nil {
			err = json.Unmarshal(text, &about)
		}
		if err != nil {
			return nil, err
		}
		licence, err := os.ReadFile(filepath.Join(folder, "LICENSE"))
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&out, "==== %s %s (%s)\n\n%s\n\n", name, about.Version, about.License, bytes.TrimSpace(licence))
	}
	return out.Bytes(), nil
}
