// Package sbom says what a Go program is made of, from what Go wrote into it: its modules, Go itself, and how it was
// built. Documents of the same program and time are the same, byte by byte.
package sbom

import (
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Document is one description of a program.
type Document struct {
	// Program is what the document calls the program: the beginning of its file's name.
	Program string
	// Extension is that of the document's file, such as .cdx.json.
	Extension string
	// MediaType is the document's as an artifact of a registry.
	MediaType string
	Content   []byte
}

// The media types and extensions of the two formats.
const (
	CycloneDX          = "application/vnd.cyclonedx+json"
	CycloneDXExtension = ".cdx.json"
	SPDX               = "application/spdx+json"
	SPDXExtension      = ".spdx.json"
)

// Program is a compiled program.
type Program struct {
	// File is where it is.
	File string
	// Name is what its documents call it, such as usage-operator_linux_amd64.
	Name string
	// Version is the main module's, which Go does not know.
	Version string
	// Created is the time that SPDX asks for: of the commit, so that it is the same whenever the program is built.
	Created time.Time
}

// Describe makes both documents of a program.
func Describe(p Program) ([]Document, error) {
	made, err := read(p)
	if err != nil {
		return nil, fmt.Errorf("what %s is made of: %w", p.Name, err)
	}
	cyclone, err := made.cycloneDX()
	if err != nil {
		return nil, err
	}
	spdx, err := made.spdx()
	if err != nil {
		return nil, err
	}
	return []Document{
		{Program: p.Name, Extension: CycloneDXExtension, MediaType: CycloneDX, Content: cyclone},
		{Program: p.Name, Extension: SPDXExtension, MediaType: SPDX, Content: spdx},
	}, nil
}

// contents are what a program is made of.
type contents struct {
	Program
	path     string // of the main module
	digest   string // SHA-256 of the file, in hex
	modules  []debug.Module
	settings []debug.BuildSetting
}

func read(p Program) (*contents, error) {
	info, err := buildinfo.ReadFile(p.File)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(p.File)
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(text)
	made := &contents{Program: p, path: info.Main.Path, digest: hex.EncodeToString(digest[:]), settings: slices.Clone(info.Settings)}
	made.modules = append(made.modules, debug.Module{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")})
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		made.modules = append(made.modules, *module)
	}
	slices.SortFunc(made.settings, func(a, b debug.BuildSetting) int { return strings.Compare(a.Key, b.Key) })
	return made, nil
}

// packageURL names a module of Go as https://github.com/package-url/purl-spec has it.
func packageURL(path, version string) string {
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
}
