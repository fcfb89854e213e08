package usagecli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	parquetformat "github.com/parquet-go/parquet-go/format"
	"pgregory.net/rapid"
)

// What programs read.

func TestFOCUS(t *testing.T) {
	server := cluster(t)
	status, out, stderr := run("list", "--by=day", "--dimension=vcpu", "--deployment=web", "-o=focus-csv", "--kubeconfig="+kubeconfig(t, server, "shop", "shop"),
		"--from=2026-11-01T00:00:00Z", "--to=2026-11-04T00:00:00Z")
	if status != exitDone || !strings.Contains(stderr, "costs") {
		t.Fatalf("status %d: %s: want 0, and a word about costs", status, stderr)
	}
	lines, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(lines) != 1+4 {
		t.Fatalf("%d lines, %v: want a head and four:\n%s", len(lines), err, out)
	}
	got := map[string]string{}
	for i, column := range lines[0] {
		if value := lines[2][i]; value != "" {
			got[column] = value
		}
	}
	want := map[string]string{
		"ChargeCategory": "Usage", "ChargeFrequency": "Usage-Based", "ChargeDescription": "vm vcpu",
		"ChargePeriodStart": "2026-11-02T00:00:00Z", "ChargePeriodEnd": "2026-11-03T00:00:00Z", "ConsumedQuantity": "40", "ConsumedUnit": "core-hours",
		"ResourceId": "uid-web-0", "ResourceName": "web-0", "ResourceType": "vm", "ServiceCategory": "Compute", "ServiceName": "vm",
		"ServiceSubcategory": "Virtual Machines", "SkuMeter": "vm.vcpu", "SubAccountId": "uid-shop", "SubAccountName": "shop", "SubAccountType": "Namespace",
		"Tags": `{"deployment":"web"}`, "x_Accuracy": "Estimated", "x_Deployment": "web", "x_ExactQuantity": "144000000", "x_ExactUnit": "millicore-second",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wanted (-), got (+):\n%s", diff)
	}
}

// What is unknown has no quantity, and no unit of one.
func TestFOCUSOfWhatIsUnknown(t *testing.T) {
	server := cluster(t)
	status, out, stderr := run(strings.Fields("list -o=focus-csv --no-headers --kubeconfig=" + kubeconfig(t, server, "shop", "shop") + october)...)
	lines, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if status != exitDone || err != nil || len(lines) != 1 {
		t.Fatalf("status %d, %v: want one row:\n%s\n%s", status, err, out, stderr)
	}
	got := map[string]string{}
	for i, column := range focusColumns {
		if value := lines[0][i]; value != "" && column != "Tags" {
			got[column] = value
		}
	}
	want := map[string]string{
		"ChargeCategory": "Usage", "ChargeFrequency": "Usage-Based", "ChargePeriodStart": "2026-10-01T00:00:00Z", "ChargePeriodEnd": "2026-11-01T00:00:00Z",
		"ServiceCategory": "Other", "ServiceSubcategory": "Other (Other)", "SubAccountId": "uid-shop", "SubAccountName": "shop", "SubAccountType": "Namespace", "x_Accuracy": "Partial",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wanted (-), got (+):\n%s", diff)
	}
}

func TestParquet(t *testing.T) {
	server := cluster(t)
	status, out, stderr := run("list", "-o=parquet", "--kubeconfig="+kubeconfig(t, server, "shop", "shop"), "--from=2026-10-31T00:00:00Z", "--to=2026-11-04T00:00:00Z", "--by=day")
	if status != exitDone {
		t.Fatalf("status %d: %s", status, stderr)
	}
	file, err := parquet.OpenFile(strings.NewReader(out), int64(len(out)))
	if err != nil {
		t.Fatal(err)
	}
	at := map[string]int{}
	var columns, decimals []string
	for i, field := range file.Schema().Fields() {
		columns, at[field.Name()] = append(columns, field.Name()), i
		if logical := field.Type().LogicalType(); logical != nil {
			if decimal, is := logical.Value.(*parquetformat.DecimalType); is {
				decimals = append(decimals, fmt.Sprintf("%s(%d,%d)", field.Name(), decimal.Precision, decimal.Scale))
			}
		}
	}
	_, header, _ := run("list", "-o=csv", "--kubeconfig="+kubeconfig(t, server, "shop", "shop"))
	if header, _, _ = strings.Cut(header, "\n"); strings.Join(columns, ",") != header {
		t.Errorf("the columns are %s, and csv has %s", columns, header)
	}
	if want := []string{"quantity(38,9)", "exact(38,0)"}; !slices.Equal(decimals, want) {
		t.Errorf("the decimals are %s, want %s", decimals, want)
	}
	rows := make([]parquet.Row, file.NumRows())
	reader := parquet.NewReader(file)
	if n, err := reader.ReadRows(rows); n != len(rows) || err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(n, err)
	}
	var got []string
	for _, r := range rows {
		quantity := "unknown"
		if value := r[at["quantity"]]; !value.IsNull() {
			quantity = fmt.Sprint(new(big.Int).SetBytes(value.Bytes()), " ", new(big.Int).SetBytes(r[at["exact"]].Bytes()))
		}
		start := time.UnixMilli(r[at["start_time"]].Int64()).UTC()
		got = append(got, fmt.Sprint(start.Format(time.DateOnly), " ", r[at["resource"]], " ", quantity, " ", r[at["accuracy"]]))
	}
	for _, want := range []string{
		"2026-10-31 web-0 unknown Partial", "2026-11-01 web-0 56000000000 201600000 Exact", "2026-11-03 =cmd|' /C calc'!A0 12000000000 43200000 Exact",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("there is no %q in %q", want, got)
		}
	}
}

func TestDecimalsOfParquetAreTheNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		scale := rapid.IntRange(0, quantityScale).Draw(t, "scale")
		whole := rapid.StringMatching(`-?(0|[1-9][0-9]{0,28})`).Draw(t, "whole")
		text := whole + "." + rapid.StringMatching(fmt.Sprintf("[0-9]{%d}", scale)).Draw(t, "places")
		written, err := decimal(strings.TrimSuffix(text, "."), scale)
		if err != nil {
			t.Fatal(err)
		}
		read := new(big.Int).SetBytes(written)
		if written[0] >= 0x80 {
			read.Sub(read, new(big.Int).Lsh(big.NewInt(1), 8*decimalBytes))
		}
		want, _ := new(big.Int).SetString(strings.Replace(text, ".", "", 1), 10)
		if read.Cmp(want) != 0 {
			t.Fatalf("%s with %d places is %s, want %s", text, scale, read, want)
		}
	})
	for _, text := range []string{"0.0000000001", "1" + strings.Repeat("0", 29), "", "1e3", "one"} {
		if written, err := decimal(text, quantityScale); err == nil {
			t.Errorf("%q is written as %x", text, written)
		}
	}
}

func TestTemplatesAndNames(t *testing.T) {
	server := cluster(t)
	shop := kubeconfig(t, server, "shop", "shop")
	for command, want := range map[string]string{
		"list -o jsonpath={.rows[*].exact} --dimension=vcpu ":                   "43200000 345600000 345600000",
		"list -o go-template={{range.rows}}{{.unit}};{{end}} --dimension=vcpu ": "core-hour;core-hour;core-hour;",
		"list -o name ": "vm/=cmd|' /C calc'!A0\nvm/web-0\nvm/web-1\n",
		"get vm/web-0 -o jsonpath={.resources[0].name} ": "web-0",
		"records --deployment web -o name ":              "usagerecord.metering.usage-operator.dev/web.2026110110\n",
		"report idle -o jsonpath={.rowCount}":            "0",
		// Where the number is not known there is none, and not 0.
		"report uncounted -o go-template={{.rowCount}}": "<no value>",
	} {
		args := append(strings.Fields(command), "--kubeconfig="+shop)
		if !strings.HasPrefix(command, "report") {
			args = append(args, strings.Fields(november)...)
		}
		status, out, stderr := run(args...)
		if status != exitDone || !strings.HasPrefix(out, want) {
			t.Errorf("%s: status %d, %q, %s: want %q", command, status, out, stderr, want)
		}
	}
	for command, says := range map[string]string{"list -o jsonpath={": "unclosed", "list -o go-template={{": "unclosed action", "list -o jsonpath": "want a template"} {
		if status, _, stderr := run(append(strings.Fields(command), "--kubeconfig="+shop)...); status != exitMisused || !strings.Contains(stderr, says) {
			t.Errorf("%s: status %d: %s: want %q", command, status, stderr, says)
		}
	}
}
