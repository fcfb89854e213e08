package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

const (
	// variablePrefix is before a flag's name, in capitals, in the variable that stands for it.
	variablePrefix = "USAGE_OPERATOR_"
	// The kind of the file that --config names. It is of this program alone: no API server has it.
	configVersion = "config.usage-operator.dev/v1alpha1"
	configKind    = "UsageOperatorConfiguration"
)

// onlyFlags are those that neither the environment nor a file has.
var onlyFlags = []string{"config", "version", "kubeconfig", "help"}

// fill sets what the command line leaves open: from the environment, and what that leaves open
// from the file that --config names. Its errors are all that is wrong there, each on a line.
func fill(flags *pflag.FlagSet, environment func(string) (string, bool)) error {
	var wrong []error
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || slices.Contains(onlyFlags, f.Name) && f.Name != "config" {
			return
		}
		if value, given := environment(variableOf(f.Name)); given {
			if err := flags.Set(f.Name, value); err != nil {
				wrong = append(wrong, fmt.Errorf("%s: %w", variableOf(f.Name), err))
			}
		}
	})
	if path := flags.Lookup("config").Value.String(); path != "" {
		if err := fromFile(flags, path); err != nil {
			wrong = append(wrong, fmt.Errorf("--config=%s: %w", path, err))
		}
	}
	return errors.Join(wrong...)
}

// fromFile sets what a file has, and neither the command line nor the environment.
func fromFile(flags *pflag.FlagSet, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	given, err := keysOf(text)
	if err != nil {
		return err
	}
	names := map[string]string{}
	flags.VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(onlyFlags, f.Name) {
			names[keyOf(f.Name)] = f.Name
		}
	})
	var wrong []error
	for _, key := range slices.Sorted(maps.Keys(given)) {
		name, known := names[key]
		if !known {
			wrong = append(wrong, fmt.Errorf("unknown key %q: there are %s", key, strings.Join(slices.Sorted(maps.Keys(names)), ", ")))
			continue
		}
		if flags.Lookup(name).Changed {
			continue
		}
		value, err := valueOf(given[key])
		if err == nil {
			err = flags.Set(name, value)
		}
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s: %w", key, err))
		}
	}
	return errors.Join(wrong...)
}

// keysOf reads a file, and makes sure that it is of the kind.
func keysOf(text []byte) (map[string]any, error) {
	object, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.UseNumber()
	var given map[string]any
	if err := decoder.Decode(&given); err != nil {
		return nil, fmt.Errorf("want an object: %w", err)
	}
	if given["apiVersion"] != configVersion || given["kind"] != configKind {
		return nil, fmt.Errorf("want apiVersion: %s and kind: %s", configVersion, configKind)
	}
	delete(given, "apiVersion")
	delete(given, "kind")
	return given, nil
}

// valueOf is a value as a flag has it; that of a list, with commas.
func valueOf(value any) (string, error) {
	switch value := value.(type) {
	case string:
		return value, nil
	case bool, json.Number:
		return fmt.Sprint(value), nil
	case []any:
		parts := make([]string, len(value))
		for i, one := range value {
			text, is := one.(string)
			if !is {
				return "", errors.New("want a list of texts")
			}
			parts[i] = text
		}
		return strings.Join(parts, ","), nil
	}
	return "", errors.New("want a text, a number, true or false, or a list of texts")
}

// variableOf is the environment variable that stands for a flag: USAGE_OPERATOR_HOT_DAYS for --hot-days.
func variableOf(flag string) string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// keyOf is the key that stands for a flag in a file: hotDays for --hot-days.
func keyOf(flag string) string {
	words := strings.Split(flag, "-")
	for i, word := range words[1:] {
		letters := []rune(word)
		letters[0] = unicode.ToUpper(letters[0])
		words[i+1] = string(letters)
	}
	return strings.Join(words, "")
}
