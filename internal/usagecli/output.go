package usagecli

import (
	"encoding/csv"
	"encoding/json"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/cli-runtime/pkg/printers"
	"sigs.k8s.io/yaml"
)

// format is how the output is written.
type format struct {
	name  string
	known []string
}

// Formats that some commands have beside those that all have.
const (
	parquetFile = "parquet"
	focusCSV    = "focus-csv"
)

func (f *format) addFlag(command *cobra.Command, more ...string) {
	f.known = append([]string{"table", "wide", "json", "yaml", "csv"}, more...)
	command.Flags().StringVarP(&f.name, "output", "o", "table",
		"One of "+strings.Join(f.known, ", ")+", jsonpath=TEMPLATE, go-template=TEMPLATE.")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(f.known, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

func (f *format) validate() error {
	if isTemplate(f.name) {
		_, err := templatePrinter(f.name)
		return err
	}
	if !slices.Contains(f.known, f.name) {
		return misused("--output=%s: want one of %s, jsonpath=TEMPLATE, go-template=TEMPLATE", f.name, strings.Join(f.known, ", "))
	}
	return nil
}

// isObject tells whether a format writes the answer's object, and not a table of it.
func isObject(name string) bool { return name == "json" || name == "yaml" || isTemplate(name) }

func isTemplate(name string) bool {
	kind, _, _ := strings.Cut(name, "=")
	return kind == "jsonpath" || kind == "go-template"
}

// templatePrinter is kubectl's, of jsonpath=TEMPLATE and go-template=TEMPLATE. As there, what an
// answer does not have is no error: one without usage has no rows. jsonpath prints nothing for it,
// and go-template "<no value>".
func templatePrinter(name string) (printers.ResourcePrinter, error) {
	kind, template, _ := strings.Cut(name, "=")
	if template == "" {
		return nil, misused("--output=%s: want a template: --output=%s='...'", name, kind)
	}
	if kind == "jsonpath" {
		printer, err := printers.NewJSONPathPrinter(template)
		if err != nil {
			return nil, misused("--output=%s: %v", name, err)
		}
		printer.AllowMissingKeys(true)
		return printer, nil
	}
	printer, err := printers.NewGoTemplatePrinter([]byte(template))
	if err != nil {
		return nil, misused("--output=%s: %v", name, err)
	}
	printer.AllowMissingKeys(true)
	return printer, nil
}

// table is rows of cells. Those that are empty say "-" to people.
type table struct {
	columns []column
	rows    [][]string
}

type column struct {
	name string
	// wide shows the column with -o wide alone; csv has all.
	wide bool
	// right aligns it there.
	right bool
	// spare leaves it out where there is no room for it; the last one first.
	spare bool
	// sparse leaves it out only where there is none for it though all names are cut.
	sparse bool
	// wraps lets it have several lines, broken after a comma.
	wraps bool
	// cuts lets names be cut where there is no room for them.
	cuts bool
	// figures has quantities with their dimensions and units, one or several in a cell.
	figures bool
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// printObject writes an object as json or yaml, or by a template.
func (c *cli) printObject(f string, object any) error {
	if isTemplate(f) {
		printer, err := templatePrinter(f)
		if err != nil {
			return err
		}
		text, err := json.Marshal(object)
		if err != nil {
			return err
		}
		content := map[string]any{}
		if err := utiljson.Unmarshal(text, &content); err != nil {
			return err
		}
		return printer.PrintObj(&unstructured.Unstructured{Object: content}, c.Out)
	}
	if f == "yaml" {
		text, err := yaml.Marshal(object)
		if err == nil {
			_, err = c.Out.Write(text)
		}
		return err
	}
	encoder := json.NewEncoder(c.Out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(object)
}

func (c *cli) printCSV(t *table) error {
	t, err := c.sorted(t)
	if err != nil {
		return err
	}
	out := csv.NewWriter(c.Out)
	header := make([]string, len(t.columns))
	for i, column := range t.columns {
		header[i] = snake(column.name)
	}
	if !c.noHeaders {
		err = out.Write(header)
	}
	if err != nil {
		return err
	}
	for _, row := range t.rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = inert(cell)
		}
		if err := out.Write(cells); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// snake is a column's name as programs have it: RESOURCE UID and resourceUID are resource_uid.
func snake(name string) string {
	var out strings.Builder
	for i, r := range name {
		upper := r >= 'A' && r <= 'Z'
		if upper && i > 0 && name[i-1] >= 'a' && name[i-1] <= 'z' {
			out.WriteByte('_')
		}
		if r == ' ' || r == ':' {
			r = '_'
		}
		out.WriteRune(r)
	}
	return strings.ToLower(out.String())
}

// inert is a cell that no spreadsheet takes for a formula: names are what tenants make them.
func inert(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) && !isNumber(cell) {
		return "'" + cell
	}
	return cell
}

func isNumber(cell string) bool { return json.Valid([]byte(cell)) && cell[0] != '"' }

// plain is a cell that does nothing to a terminal, and is read in the order in
// which it is written: without control characters, bidirectional ones and others
// that are not seen.
func plain(cell string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsGraphic(r) {
			return '?'
		}
		return r
	}, cell)
}

// plainLines is a text of several lines that does no more.
func plainLines(text string) string {
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = plain(strings.ReplaceAll(lines[i], "\t", "    "))
	}
	return strings.Join(lines, "\n")
}
