// Package dashboard serves the page that shows the usage API's answers to people. The page is
// bundled from ui/ by make ui, and embedded as it is committed.
//
// It has nothing inline and loads nothing from another host, which its Content-Security-Policy
// holds it to. What it shows it asks the usage API for, as the person who looks at it.
package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strings"
	"sync"
)

// Prefix is where the page is served.
const Prefix = "/ui/"

// policy lets the page load its own files, and ask the API on its own origin.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

//go:embed assets
var assets embed.FS

// types are those of the files, by their names' ends.
var types = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".txt": "text/plain; charset=utf-8",
}

// file is one that is served.
type file struct {
	plain, packed []byte
	tag           string
}

// files are all of them, by name.
var files = sync.OnceValue(func() map[string]file {
	entries, err := assets.ReadDir("assets")
	if err != nil {
		panic(fmt.Sprintf("dashboard: %v", err)) // it is embedded
	}
	all := map[string]file{}
	for _, entry := range entries {
		text, err := assets.ReadFile("assets/" + entry.Name())
		if err != nil {
			panic(fmt.Sprintf("dashboard: %v", err))
		}
		hash := sha256.Sum256(text)
		all[entry.Name()] = file{plain: text, packed: packed(text), tag: `"` + hex.EncodeToString(hash[:16]) + `"`}
	}
	return all
})

func packed(text []byte) []byte {
	var out bytes.Buffer
	writer, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err == nil {
		_, err = writer.Write(text)
	}
	if err == nil {
		err = writer.Close()
	}
	if err != nil {
		panic(fmt.Sprintf("dashboard: %v", err)) // a buffer takes everything
	}
	return out.Bytes()
}

// Handler serves the page's files under Prefix. It asks nothing of who looks at them.
func Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		name := strings.TrimPrefix(r.URL.Path, Prefix)
		if name == "" {
			name = "index.html"
		}
		f, there := files()[name]
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			header.Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		case !there:
			http.Error(w, "there is no such file: the page is at "+Prefix, http.StatusNotFound)
		default:
			f.serve(w, r, name)
		}
	})
}

func (f *file) serve(w http.ResponseWriter, r *http.Request, name string) {
	header := w.Header()
	// It is asked for again each time, and then the tag says that it is the same.
	header.Set("Cache-Control", "no-cache")
	header.Set("ETag", f.tag)
	header.Set("Vary", "Accept-Encoding")
	header.Set("Content-Type", types[path.Ext(name)])
	if r.Header.Get("If-None-Match") == f.tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	text := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		header.Set("Content-Encoding", "gzip")
		text = f.packed
	}
	header.Set("Content-Length", fmt.Sprint(len(text)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(text) // who asked may have gone
	}
}
