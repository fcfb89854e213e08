package usagecli

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/usage-operator/usage-operator/api/v1alpha1"
	"github.com/usage-operator/usage-operator/internal/usageapi/wire"
)

// focusKeys are what rows have to be told apart by for FOCUS.
var focusKeys = []v1alpha1.GroupKey{"namespace", "resourceType", "resource", "deployment", "region"}

// focusColumns are those of FOCUS 1.2, the FinOps Open Cost and Usage Specification
// (https://focus.finops.org), in its order, and four of our own, whose names begin
// with x_ as it asks for.
var focusColumns = []string{
	"AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency",
	"BillingPeriodEnd", "BillingPeriodStart", "CapacityReservationId", "CapacityReservationStatus", "ChargeCategory", "ChargeClass",
	"ChargeDescription", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountCategory",
	"CommitmentDiscountId", "CommitmentDiscountName", "CommitmentDiscountQuantity", "CommitmentDiscountStatus",
	"CommitmentDiscountType", "CommitmentDiscountUnit", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "ContractedUnitPrice",
	"EffectiveCost", "InvoiceId", "InvoiceIssuerName", "ListCost", "ListUnitPrice", "PricingCategory", "PricingCurrency",
	"PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost", "PricingCurrencyListUnitPrice", "PricingQuantity",
	"PricingUnit", "ProviderName", "PublisherName", "RegionId", "RegionName", "ResourceId", "ResourceName", "ResourceType",
	"ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId",
	"SubAccountName", "SubAccountType", "Tags", "x_Accuracy", "x_Deployment", "x_ExactQuantity", "x_ExactUnit",
}

// services are FOCUS's categories and subcategories of what is metered.
var services = map[string][2]string{
	"vm":            {"Compute", "Virtual Machines"},
	"node_pool":     {"Compute", "Virtual Machines"},
	"container":     {"Compute", "Containers"},
	"cluster":       {"Compute", "Containers"},
	"volume":        {"Storage", "Block Storage"},
	"snapshot":      {"Storage", "Backup Storage"},
	"load_balancer": {"Networking", "Application Networking"},
	"vpc":           {"Networking", "Network Infrastructure"},
	"connection":    {"Networking", "Network Connectivity"},
}

// printFocus writes rows as FOCUS has them. There are no prices here: the columns
// of costs are empty, and a tool that knows prices fills them in.
func (c *cli) printFocus(rows []wire.Row) error {
	out := csv.NewWriter(c.Out)
	if !c.noHeaders {
		if err := out.Write(focusColumns); err != nil {
			return err
		}
	}
	for i := range rows {
		values, err := focusOf(&rows[i])
		if err != nil {
			return err
		}
		cells := make([]string, len(focusColumns))
		for j, column := range focusColumns {
			cells[j] = inert(values[column])
		}
		if err := out.Write(cells); err != nil {
			return err
		}
	}
	out.Flush()
	if err := out.Error(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(c.ErrOut, "FOCUS 1.2, with usage alone: the columns of costs, prices, accounts and billing periods are empty.")
	return err
}

func focusOf(row *wire.Row) (map[string]string, error) {
	group := func(key string) string { return string(row.Group[key]) }
	tags, err := json.Marshal(map[string]string{"deployment": group("deployment")})
	if err != nil {
		return nil, err
	}
	service, known := services[group("resourceType")]
	if !known {
		service = [2]string{"Other", "Other (Other)"}
	}
	unit := ""
	if row.Unit != "" { // of what is unknown there is none
		unit = row.Unit + "s"
	}
	return map[string]string{
		"ChargeCategory": "Usage", "ChargeFrequency": "Usage-Based", "ChargeDescription": strings.TrimSpace(group("resourceType") + " " + group("dimension")),
		"ChargePeriodStart": row.StartTime.UTC().Format(stampLayout), "ChargePeriodEnd": row.EndTime.UTC().Format(stampLayout),
		"ConsumedQuantity": row.Quantity, "ConsumedUnit": unit,
		"RegionId": group("region"), "RegionName": group("region"),
		"ResourceId": group("resourceUID"), "ResourceName": group("resource"), "ResourceType": group("resourceType"),
		"ServiceCategory": service[0], "ServiceSubcategory": service[1], "ServiceName": group("resourceType"),
		"SkuMeter": metric(row), "SubAccountId": group("namespaceUID"), "SubAccountName": group("namespace"), "SubAccountType": "Namespace",
		"Tags": string(tags), "x_Accuracy": string(row.Accuracy), "x_Deployment": group("deployment"),
		"x_ExactQuantity": row.Exact, "x_ExactUnit": row.ExactUnit,
	}, nil
}
