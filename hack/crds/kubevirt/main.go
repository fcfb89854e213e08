// Command kubevirt writes KubeVirt's custom resource definitions into the folder named by its argument.
//
// KubeVirt ships no YAML for them: its operator builds them in Go. This module exists alone, so that the versions
// that KubeVirt pins stay out of the operator's own dependencies.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"kubevirt.io/kubevirt/pkg/virt-operator/resource/generate/components"
	"sigs.k8s.io/yaml"
)

// definitions builds what the meters read: machines, their pools, and the sizes that machines are made from.
var definitions = []func() (*apiextensionsv1.CustomResourceDefinition, error){
	components.NewVirtualMachineCrd,
	components.NewVirtualMachineInstanceCrd,
	components.NewVirtualMachinePoolCrd,
	components.NewVirtualMachineInstancetypeCrd,
	components.NewVirtualMachineClusterInstancetypeCrd,
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run . <folder>")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "kubevirt:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	for _, define := range definitions {
		crd, err := define()
		if err != nil {
			return fmt.Errorf("build a KubeVirt CRD: %w", err)
		}
		text, err := yaml.Marshal(crd)
		if err != nil {
			return fmt.Errorf("print the CRD %s: %w", crd.Name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, crd.Name+".yaml"), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
