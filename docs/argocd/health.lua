-- The health of the operator's kinds, for Argo CD: UsageMeter, UsageReport, ClusterUsageReport, UsageReportSchedule and
-- ClusterUsageReportSchedule. How to install it, and what it says, is in docs/reports.md.
local health = {status = "Progressing", message = "waiting for the operator to see it"}

if obj.spec ~= nil and obj.spec.suspend then
  health.status, health.message = "Suspended", "spec.suspend is true"
  return health
end
if obj.status == nil or obj.status.observedGeneration ~= obj.metadata.generation then
  return health
end
local conditions = {}
for _, condition in ipairs(obj.status.conditions or {}) do
  conditions[condition.type] = condition
end
local function is(type)
  return conditions[type] ~= nil and conditions[type].status == "True"
end

if is("Stalled") then
  health.status, health.message = "Degraded", conditions.Stalled.message
elseif is("Ready") then
  health.status, health.message = "Healthy", conditions.Ready.message
  if conditions.Complete ~= nil then
    health.message = conditions.Complete.message
  end
elseif conditions.Ready ~= nil then
  health.message = conditions.Ready.message
end
return health
