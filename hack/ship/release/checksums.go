package release

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

const (
	checksumsFile  = "checksums.txt"
	signatureFile  = checksumsFile + ".sig"
	publicKeyFile  = "cosign.pub"
	predicateFile  = "provenance.json"
	provenanceFile = "provenance.intoto.json"
	notesFile      = "release-notes.md"
)

// unlisted are the files that have no checksum: they are about those that have one.
var unlisted = []string{checksumsFile, signatureFile, publicKeyFile, provenanceFile}

// checksums are the SHA-256 of every file in the folder, by name.
func (o Options) checksums() (map[string]string, error) {
	entries, err := os.ReadDir(o.Out)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, entry := range entries {
		if entry.IsDir() || slices.Contains(unlisted, entry.Name()) {
			continue
		}
		content, err := os.ReadFile(o.file(entry.Name()))
		if err != nil {
			return nil, err
		}
		digest := sha256.Sum256(content)
		found[entry.Name()] = hex.EncodeToString(digest[:])
	}
	return found, nil
}

// formatChecksums writes them as sha256sum does.
func formatChecksums(sums map[string]string) []byte {
	text := &strings.Builder{}
	for _, name := range slices.Sorted(maps.Keys(sums)) {
		fmt.Fprintf(text, "%s  %s\n", sums[name], name)
	}
	return []byte(text.String())
}

// parseChecksums reads what sha256sum writes.
func parseChecksums(text []byte) (map[string]string, error) {
	sums := map[string]string{}
	for line := range strings.Lines(string(text)) {
		sum, name, found := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if digest, err := hex.DecodeString(sum); !found || err != nil || len(digest) != sha256.Size || sums[name] != "" {
			return nil, fmt.Errorf("%s has the line %q", checksumsFile, line)
		}
		sums[name] = sum
	}
	return sums, nil
}
