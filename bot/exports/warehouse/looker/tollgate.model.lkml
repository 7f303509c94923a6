# Put your own connection here.
connection: "bigquery"

include: "*.view.lkml"

explore: ledger {
  label: "Tollgate"
  description: "What agents spent, on what, and what came of it"
}
