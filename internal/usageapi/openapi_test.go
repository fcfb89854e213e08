package usageapi_test

import (
	"bytes"
	"fmt"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/usage-operator/usage-operator/internal/usageapi"
)

var description = sync.OnceValue(func() map[string]any {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(usageapi.Description))
	if err != nil {
		panic(err)
	}
	return document.(map[string]any)
})

var schemas sync.Map // compiled, by where they are in the description

// described checks that an answer is as the description says.
func described(t *testing.T, method, path string, w *httptest.ResponseRecorder) {
	t.Helper()
	template := templateOf(path)
	if template == "" {
		return
	}
	operation, ok := description()["paths"].(map[string]any)[template].(map[string]any)[strings.ToLower(method)].(map[string]any)
	if !ok {
		return // refused, for there is no such operation
	}
	status := fmt.Sprint(w.Code)
	if operation["responses"].(map[string]any)[status] == nil {
		t.Errorf("%s %s: the description has no status %s", method, template, status)
		return
	}
	escaped := strings.NewReplacer("~", "~0", "/", "~1").Replace(template)
	escaped = strings.NewReplacer("{", "%7B", "}", "%7D").Replace(escaped)
	pointer := "#/paths/" + escaped + "/" + strings.ToLower(method) + "/responses/" + status + "/content/application~1json/schema"
	schema, err := compiled(pointer)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := jsonschema.UnmarshalJSON(bytes.NewReader(w.Body.Bytes()))
	if err != nil {
		t.Errorf("%s %s: %v: %s", method, path, err, w.Body)
		return
	}
	if err := schema.Validate(answer); err != nil {
		t.Errorf("%s %s: status %s is not as described: %v", method, path, status, err)
	}
}

func compiled(pointer string) (*jsonschema.Schema, error) {
	if known, ok := schemas.Load(pointer); ok {
		return known.(*jsonschema.Schema), nil
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	if err := compiler.AddResource("openapi.json", description()); err != nil {
		return nil, err
	}
	schema, err := compiler.Compile("openapi.json" + pointer)
	if err == nil {
		schemas.Store(pointer, schema)
	}
	return schema, err
}

// templateOf is the path of the description that a request's is of.
func templateOf(path string) string {
	for template := range description()["paths"].(map[string]any) {
		want, got := strings.Split(template, "/"), strings.Split(path, "/")
		if len(want) != len(got) {
			continue
		}
		same := true
		for i := range want {
			same = same && (want[i] == got[i] || strings.HasPrefix(want[i], "{"))
		}
		if same {
			return template
		}
	}
	return ""
}

// What redocly's recommended rules want (make openapi-lint), as far as it can be told without it.
func TestTheDescriptionIsWhole(t *testing.T) {
	document := description()
	info := document["info"].(map[string]any)
	servers, _ := document["servers"].([]any)
	if info["license"] == nil || len(servers) == 0 {
		t.Error("there is no license, or no server")
	}
	ids := map[any]bool{}
	for path, item := range document["paths"].(map[string]any) {
		for method, o := range item.(map[string]any) {
			operation := o.(map[string]any)
			if ids[operation["operationId"]] || operation["operationId"] == nil || operation["summary"] == nil {
				t.Errorf("%s %s: it has no operationId of its own, or no summary", method, path)
			}
			ids[operation["operationId"]] = true
			describedParameters(t, method+" "+path, operation)
		}
	}
}

func describedParameters(t *testing.T, name string, operation map[string]any) {
	t.Helper()
	list, _ := operation["parameters"].([]any)
	inPath := 0
	for _, p := range list {
		parameter := p.(map[string]any)
		if parameter["in"] == "path" && strings.Contains(name, "{"+parameter["name"].(string)+"}") {
			inPath++
		}
		if parameter["description"] == nil {
			t.Errorf("%s: %s is not described", name, parameter["name"])
		}
	}
	if inPath != strings.Count(name, "{") {
		t.Errorf("%s: the parameters of its path are others than those that are described", name)
	}
}

func TestAllComponentsAreUsed(t *testing.T) {
	document := description()
	text := string(usageapi.Description)
	for kind, components := range document["components"].(map[string]any) {
		for name := range components.(map[string]any) {
			if kind != "securitySchemes" && !strings.Contains(text, `"#/components/`+kind+"/"+name+`"`) {
				t.Errorf("nothing uses %s %s", kind, name)
			}
		}
	}
}

// The paths that are served are those that are described: with the public pages' own names.
func TestPathsAreNamedAsThePublicPagesNameThem(t *testing.T) {
	paths := description()["paths"].(map[string]any)
	for _, path := range []string{
		"/api/web/namespaces/{namespace}/hourly_usage_details", "/api/v1/billing/costs/{organization_id}/deployments/{deployment_id}/charts",
		"/v1/usage/{resource_id}", "/v1/usage",
	} {
		if paths[path] == nil {
			t.Errorf("%s is not described", path)
		}
	}
}
