package image

import (
	"bytes"
	"debug/buildinfo"
	"slices"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

const cycloneDX types.MediaType = "application/vnd.cyclonedx+json"

func documentLayer(document []byte) v1.Layer { return static.NewLayer(document, cycloneDX) }

// SBOM says what a Go program is made of, from what Go wrote into it: its modules, Go itself, and how it was built. It is a
// CycloneDX document, and the same for the same program: it has neither a time nor a serial number.
func SBOM(file, version string) ([]byte, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, err
	}
	main := component(info.Main.Path, version, cyclonedx.ComponentTypeApplication)
	components := []cyclonedx.Component{component("stdlib", strings.TrimPrefix(info.GoVersion, "go"), cyclonedx.ComponentTypeLibrary)}
	for _, module := range info.Deps {
		at := module
		if at.Replace != nil {
			at = at.Replace
		}
		made := component(at.Path, at.Version, cyclonedx.ComponentTypeLibrary)
		made.Properties = &[]cyclonedx.Property{{Name: "go:sum", Value: at.Sum}}
		components = append(components, made)
	}
	var settings []cyclonedx.Property
	for _, setting := range info.Settings {
		settings = append(settings, cyclonedx.Property{Name: "go:build:" + setting.Key, Value: setting.Value})
	}
	slices.SortFunc(settings, func(a, b cyclonedx.Property) int { return strings.Compare(a.Name, b.Name) })
	main.Properties = &settings
	document := cyclonedx.NewBOM()
	document.Metadata = &cyclonedx.Metadata{Component: &main}
	document.Components = &components
	text := &bytes.Buffer{}
	encoder := cyclonedx.NewBOMEncoder(text, cyclonedx.BOMFileFormatJSON)
	encoder.SetPretty(true)
	err = encoder.Encode(document)
	return text.Bytes(), err
}

func component(path, version string, kind cyclonedx.ComponentType) cyclonedx.Component {
	url := "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
	return cyclonedx.Component{BOMRef: url, Type: kind, Name: path, Version: version, PackageURL: url}
}
