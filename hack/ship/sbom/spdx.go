package sbom

import (
	"bytes"
	"fmt"
	"time"

	"github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdx/v2/v2_3"
)

const noAssertion = "NOASSERTION"

// spdx is a document of SPDX 2.3: the program, and each module as a package that it depends on.
func (c *contents) spdx() ([]byte, error) {
	const document, main = common.ElementID("DOCUMENT"), common.ElementID("Package-main")
	program := module(main, c.path, c.Version)
	program.PackageFileName, program.PrimaryPackagePurpose = c.Name, "APPLICATION"
	program.PackageChecksums = []common.Checksum{{Algorithm: common.SHA256, Value: c.digest}}
	packages := []*v2_3.Package{program}
	relations := []*v2_3.Relationship{relation(document, common.TypeRelationshipDescribe, main)}
	for i, m := range c.modules {
		id := common.ElementID(fmt.Sprintf("Package-%d", i+1))
		packages = append(packages, module(id, m.Path, m.Version))
		relations = append(relations, relation(main, common.TypeRelationshipDependsOn, id))
	}
	text := &bytes.Buffer{}
	err := json.Write(&v2_3.Document{
		SPDXVersion: v2_3.Version, DataLicense: v2_3.DataLicense, SPDXIdentifier: document, DocumentName: c.Name,
		DocumentNamespace: "https://" + c.path + "/sbom/" + c.Name + "-" + c.digest,
		CreationInfo: &v2_3.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "usage-operator-hack-ship"}},
			Created:  c.Created.UTC().Format(time.RFC3339),
		},
		Packages: packages, Relationships: relations,
	}, text, json.Indent("  "))
	return text.Bytes(), err
}

// module is a package of which nothing is known but its name, version and address. Its licence is not asserted.
func module(id common.ElementID, path, version string) *v2_3.Package {
	return &v2_3.Package{
		PackageSPDXIdentifier: id, PackageName: path, PackageVersion: version,
		PackageDownloadLocation: noAssertion, PackageLicenseConcluded: noAssertion, PackageLicenseDeclared: noAssertion,
		PackageCopyrightText: noAssertion, IsFilesAnalyzedTagPresent: true,
		PackageExternalReferences: []*v2_3.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL, Locator: packageURL(path, version),
		}},
	}
}

func relation(from common.ElementID, kind string, to common.ElementID) *v2_3.Relationship {
	return &v2_3.Relationship{
		RefA: common.MakeDocElementID("", string(from)), RefB: common.MakeDocElementID("", string(to)), Relationship: kind,
	}
}
