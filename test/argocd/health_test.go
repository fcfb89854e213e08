// Package argocd_test runs the health check that docs/argocd has for Argo CD over its test cases, as Argo CD does.
package argocd_test

import (
	"os"
	"path/filepath"
	"testing"

	lua "github.com/yuin/gopher-lua"
	"sigs.k8s.io/yaml"
)

const folder = "../../docs/argocd"

// cases is a health_test.yaml.
type cases struct {
	Tests []struct {
		HealthStatus struct{ Status, Message string } `json:"healthStatus"`
		InputPath    string                           `json:"inputPath"`
	} `json:"tests"`
}

func TestHealth(t *testing.T) {
	var all cases
	read(t, "health_test.yaml", &all)
	script, err := os.ReadFile(filepath.Join(folder, "health.lua"))
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Tests) == 0 {
		t.Fatal("there are no cases")
	}
	for _, c := range all.Tests {
		t.Run(filepath.Base(c.InputPath), func(t *testing.T) {
			var object map[string]any
			read(t, c.InputPath, &object)
			state := lua.NewState(lua.Options{SkipOpenLibs: true})
			defer state.Close()
			lua.OpenBase(state) // of the libraries Argo CD lets a check have little else
			state.SetGlobal("obj", value(state, object))
			if err := state.DoString(string(script)); err != nil {
				t.Fatal(err)
			}
			health, ok := state.Get(-1).(*lua.LTable)
			if !ok {
				t.Fatalf("it returned %v", state.Get(-1))
			}
			status, message := health.RawGetString("status").String(), health.RawGetString("message").String()
			if status != c.HealthStatus.Status || message != c.HealthStatus.Message {
				t.Errorf("got %s: %s\nwant %s: %s", status, message, c.HealthStatus.Status, c.HealthStatus.Message)
			}
		})
	}
}

func read(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, path))
	if err == nil {
		err = yaml.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// value is JSON as Lua has it.
func value(state *lua.LState, of any) lua.LValue {
	switch of := of.(type) {
	case map[string]any:
		table := state.NewTable()
		for key, item := range of {
			table.RawSetString(key, value(state, item))
		}
		return table
	case []any:
		table := state.NewTable()
		for _, item := range of {
			table.Append(value(state, item))
		}
		return table
	case string:
		return lua.LString(of)
	case float64:
		return lua.LNumber(of)
	case bool:
		return lua.LBool(of)
	}
	return lua.LNil
}
