package main

import (
	_ "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset"
	_ "kubevirt.io/api/core/v1"
	_ "sigs.k8s.io/controller-runtime"
	_ "github.com/usage-operator/usage-operator/controllers"
	_ "github.com/usage-operator/usage-operator/test/controlplane"
	_ "github.com/usage-operator/usage-operator/config"
)
