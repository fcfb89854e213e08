package sbom

import (
	"bytes"

	"github.com/CycloneDX/cyclonedx-go"
)

// cycloneDX has neither a time nor a serial number.
func (c *contents) cycloneDX() ([]byte, error) {
	main := component(c.path, c.Version, cyclonedx.ComponentTypeApplication)
	var components []cyclonedx.Component
	for _, module := range c.modules {
		made := component(module.Path, module.Version, cyclonedx.ComponentTypeLibrary)
		if module.Sum != "" {
			made.Properties = &[]cyclonedx.Property{{Name: "go:sum", Value: module.Sum}}
		}
		components = append(components, made)
	}
	var settings []cyclonedx.Property
	for _, setting := range c.settings {
		settings = append(settings, cyclonedx.Property{Name: "go:build:" + setting.Key, Value: setting.Value})
	}
	main.Properties = &settings
	document := cyclonedx.NewBOM()
	document.Metadata = &cyclonedx.Metadata{Component: &main}
	document.Components = &components
	text := &bytes.Buffer{}
	encoder := cyclonedx.NewBOMEncoder(text, cyclonedx.BOMFileFormatJSON)
	encoder.SetPretty(true)
	err := encoder.Encode(document)
	return text.Bytes(), err
}

func component(path, version string, kind cyclonedx.ComponentType) cyclonedx.Component {
	url := packageURL(path, version)
	return cyclonedx.Component{BOMRef: url, Type: kind, Name: path, Version: version, PackageURL: url}
}
