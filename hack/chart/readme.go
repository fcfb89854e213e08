package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// The table of values is between these lines of the README.
const begin, end = "<!-- values: written by hack/chart from values.yaml -->\n", "<!-- end of values -->\n"

// readme is the chart's README with the table of what is in values.yaml.
func readme(chart string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(chart, "README.md"))
	if err != nil {
		return nil, err
	}
	values, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return nil, err
	}
	table, err := valuesTable(string(values))
	if err != nil {
		return nil, fmt.Errorf("values.yaml: %w", err)
	}
	before, rest, opened := bytes.Cut(text, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !opened || !closed {
		return nil, errors.New("README.md: the lines around the values are missing")
	}
	return bytes.Join([][]byte{before, []byte(begin + table + end), after}, nil), nil
}

// valuesTable has a row for each key that has a comment above it. A key without one is part of what is above it.
func valuesTable(text string) (string, error) {
	values := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		return "", err
	}
	table := &strings.Builder{}
	table.WriteString("| value | default | what it is |\n|---|---|---|\n")
	var path, comment []string
	for line := range strings.Lines(text) {
		trimmed := strings.TrimSpace(line)
		said, isComment := strings.CutPrefix(trimmed, "# ")
		key, _, isKey := strings.Cut(trimmed, ":")
		switch {
		case isComment:
			comment = append(comment, said)
			continue
		case isKey && !strings.HasPrefix(trimmed, "-") && len(comment) > 0:
			depth := (len(line) - len(strings.TrimLeft(line, " "))) / 2
			if depth > len(path) {
				return "", fmt.Errorf("%s has a comment, and what it is in has none", key)
			}
			path = append(path[:depth:depth], key)
			value, err := lookUp(values, path)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(table, "| `%s` | `%s` | %s |\n", strings.Join(path, "."), value, strings.Join(comment, " "))
		}
		comment = nil
	}
	return table.String(), nil
}

// lookUp is the value at the path, as JSON.
func lookUp(values map[string]any, path []string) (string, error) {
	var at any = values
	for _, key := range path {
		in, is := at.(map[string]any)
		if !is {
			return "", fmt.Errorf("%s is not there", strings.Join(path, "."))
		}
		at = in[key]
	}
	text, err := json.Marshal(at)
	return strings.ReplaceAll(string(text), "|", `\|`), err
}
