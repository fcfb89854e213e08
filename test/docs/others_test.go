package docs

// othersFlags are flags that the docs name by themselves and that are those of programs of others.
var othersFlags = map[string]string{
	"quota-backend-bytes":    "etcd",
	"as":                     "kubectl",
	"logs":                   "helm test",
	"server-side":            "kubectl apply",
	"client-ca-file":         "kube-apiserver",
	"etcd-servers-overrides": "kube-apiserver",
	"force":                  "kubectl delete",
	"grace-period":           "kubectl delete",
	"force-conflicts":        "kubectl apply",
	"prefix":                 "kubectl logs, in what check prints",
	"reuse-values":           "helm upgrade",
	"set":                    "helm upgrade",
}

// othersNames are what looks like a name of the project's and is none, with what it is.
var othersNames = map[string]string{
	"usage-operator-meters": "a ConfigMap that the operator makes",
	"usage_hub_schema":      "a table of the hub's database",
	"storedVersions":        "a field of CustomResourceDefinitions",
}

// othersCode are the pages that name code of others, with the rules that do not hold there.
var othersCode = map[string][]string{
	"docs/design/0019-side-by-side.md": {"words of code", "files and folders"},
}
