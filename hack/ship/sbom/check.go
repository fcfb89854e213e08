package sbom

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/CycloneDX/cyclonedx-go"
	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// Check reads a document, by the extension of its file, and returns the versions of what it lists, by name. It fails
// where the document is not of its format, or lists something without a name, a version or an address.
func Check(file string, content []byte) (map[string]string, error) {
	var versions map[string]string
	var err error
	switch {
	case strings.HasSuffix(file, CycloneDXExtension):
		versions, err = checkCycloneDX(content)
	case strings.HasSuffix(file, SPDXExtension):
		versions, err = checkSPDX(content)
	default:
		err = fmt.Errorf("neither %s nor %s", CycloneDXExtension, SPDXExtension)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for name, version := range versions {
		if name == "" || version == "" {
			return nil, fmt.Errorf("%s lists %q in version %q", file, name, version)
		}
	}
	if versions["stdlib"] == "" {
		return nil, fmt.Errorf("%s has no Go", file)
	}
	return versions, nil
}

func checkCycloneDX(content []byte) (map[string]string, error) {
	document := &cyclonedx.BOM{}
	if err := cyclonedx.NewBOMDecoder(bytes.NewReader(content), cyclonedx.BOMFileFormatJSON).Decode(document); err != nil {
		return nil, err
	}
	if document.BOMFormat != cyclonedx.BOMFormat || document.Metadata == nil || document.Metadata.Component == nil || document.Components == nil {
		return nil, fmt.Errorf("no document of CycloneDX: format %q", document.BOMFormat)
	}
	versions := map[string]string{}
	for _, component := range append([]cyclonedx.Component{*document.Metadata.Component}, *document.Components...) {
		if component.PackageURL != packageURL(component.Name, component.Version) {
			return nil, fmt.Errorf("%s has the address %q", component.Name, component.PackageURL)
		}
		versions[component.Name] = component.Version
	}
	return versions, nil
}

func checkSPDX(content []byte) (map[string]string, error) {
	document := &v2_3.Document{}
	if err := json.ReadInto(bytes.NewReader(content), document); err != nil {
		return nil, err
	}
	if document.SPDXVersion != v2_3.Version || document.DataLicense != v2_3.DataLicense || document.CreationInfo == nil ||
		document.CreationInfo.Created == "" || len(document.Relationships) != len(document.Packages) {
		return nil, fmt.Errorf("no document of %s: %q, %d packages, %d relationships", v2_3.Version,
			document.SPDXVersion, len(document.Packages), len(document.Relationships))
	}
	versions := map[string]string{}
	for _, of := range document.Packages {
		if len(of.PackageExternalReferences) != 1 || of.PackageExternalReferences[0].Locator != packageURL(of.PackageName, of.PackageVersion) {
			return nil, fmt.Errorf("%s has the addresses %v", of.PackageName, of.PackageExternalReferences)
		}
		versions[of.PackageName] = of.PackageVersion
	}
	return versions, nil
}
