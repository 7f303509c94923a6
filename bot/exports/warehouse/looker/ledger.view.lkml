# The table that `python -m bot export` fills, in BigQuery; made for the dataset `tollgate`.
# Of what changes (runs, pulls) the latest version counts; what is booked (turns, corrections) comes once.
view: ledger {
  derived_table: {
    sql:
      SELECT * FROM `tollgate.ledger`
      QUALIFY ROW_NUMBER() OVER (PARTITION BY `table`, id ORDER BY version DESC) = 1 ;;
  }

  dimension: row_key {
    primary_key: yes
    hidden: yes
    type: string
    sql: CONCAT(${TABLE}.`table`, '/', ${TABLE}.id) ;;
  }

  dimension: row_kind {
    type: string
    sql: ${TABLE}.`table` ;;
    description: "What the row is: turns | runs | pulls | pool_corrections | cursor_events | refusals"
  }

  dimension: repository {
    type: string
    sql: ${TABLE}.`repository` ;;
    description: "OWNER/NAME, as it was called then"
  }

  dimension: thread {
    type: number
    sql: ${TABLE}.`thread` ;;
    description: "Number of the issue or pull request that the run was on"
  }

  dimension: actor {
    type: string
    sql: ${TABLE}.`actor` ;;
    description: "Login of the person, or the user of a laptop"
  }

  dimension: line {
    type: string
    sql: ${TABLE}.`line` ;;
    description: "The budget line; empty: none"
  }

  dimension: origin {
    type: string
    sql: ${TABLE}.`origin` ;;
    description: "github | step | exec | run | exam"
  }

  dimension: task_class {
    type: string
    sql: ${TABLE}.`task_class` ;;
    description: "bugfix | feature | refactor | ..."
  }

  dimension: engine {
    type: string
    sql: ${TABLE}.`engine` ;;
    description: "The agent: opus, or the program that exec ran"
  }

  dimension: run {
    type: string
    sql: ${TABLE}.`run` ;;
    description: "The run; of a turn, the one that it belongs to"
  }

  dimension: state {
    type: string
    sql: ${TABLE}.`state` ;;
    description: "Of a turn: settled | estimated (an upper bound) | corrected (the difference to an estimate). Of a run: open | running | done | halted | failed | lost"
  }

  dimension: reason {
    type: string
    sql: ${TABLE}.`reason` ;;
    description: "Why a run halted, or was refused"
  }

  dimension: model {
    type: string
    sql: ${TABLE}.`model` ;;
    description: "The model that answered, as it names itself"
  }

  dimension: key_name {
    type: string
    sql: ${TABLE}.`key_name` ;;
    description: "Variable of the API key that it was sent with; empty: the default"
  }

  dimension: price_book {
    type: string
    sql: ${TABLE}.`price_book` ;;
    description: "Version of the prices that it was priced with"
  }

  dimension: because {
    type: string
    sql: ${TABLE}.`because` ;;
    description: "Why a run belongs to it"
  }

  dimension: title {
    type: string
    sql: ${TABLE}.`title` ;;
    description: "Of a pull request"
  }

  dimension: author {
    type: string
    sql: ${TABLE}.`author` ;;
    description: "Of a pull request"
  }

  dimension: pull_number {
    type: number
    sql: ${TABLE}.`pull_number` ;;
    description: "Of a run: number of it. Of a pull request: its own"
  }

  dimension_group: counted {
    type: time
    timeframes: [raw, time, hour, date, week, month, quarter, year]
    sql: ${TABLE}.`at` ;;
    description: "When it counts: a turn, a correction or an event of Cursor's when it was booked, a run when it was opened, a pull request when it was merged (null: it is not), a refusal when it was told"
  }

  dimension_group: ended {
    type: time
    timeframes: [raw, time, hour, date, week, month, quarter, year]
    sql: ${TABLE}.`ended_at` ;;
    description: "When a run ended"
  }

  dimension_group: merged {
    type: time
    timeframes: [raw, time, hour, date, week, month, quarter, year]
    sql: ${TABLE}.`merged_at` ;;
    description: "Of a pull request"
  }

  dimension: email {
    type: string
    sql: ${TABLE}.`email` ;;
    description: "Of Cursor's event: the account; empty: none is told"
  }

  dimension: kind {
    type: string
    sql: ${TABLE}.`kind` ;;
    description: "Of Cursor's event: how it is billed, in Cursor's words"
  }

  dimension_group: occurred {
    type: time
    timeframes: [raw, time, hour, date, week, month, quarter, year]
    sql: ${TABLE}.`occurred_at` ;;
    description: "Of Cursor's event: when it was"
  }

  measure: cursor_spend {
    type: sum
    sql: ${TABLE}.`usd` ;;
    filters: [row_kind: "cursor_events"]
    value_format: "$#,##0.00"
    description: "What Cursor's admin API tells, beside all that was spent here"
  }

  measure: spend {
    type: sum
    sql: ${TABLE}.`usd` ;;
    filters: [row_kind: "turns,pool_corrections"]
    value_format: "$#,##0.00"
    description: "All that was spent: turns, and corrections of no run"
  }

  measure: estimated_spend {
    type: sum
    sql: ${TABLE}.`estimated_usd` ;;
    filters: [row_kind: "runs"]
    value_format: "$#,##0.00"
    description: "The part of runs that is an upper bound"
  }

  measure: context_read {
    type: sum
    sql: ${TABLE}.`usd_cache_read` ;;
    filters: [row_kind: "turns,pool_corrections"]
    value_format: "$#,##0.00"
    description: "Context read from the cache"
  }

  measure: context_written {
    type: sum
    sql: ${TABLE}.`usd_cache_write` ;;
    filters: [row_kind: "turns,pool_corrections"]
    value_format: "$#,##0.00"
    description: "Context written to the cache"
  }

  measure: fresh_input {
    type: sum
    sql: ${TABLE}.`usd_input` ;;
    filters: [row_kind: "turns,pool_corrections"]
    value_format: "$#,##0.00"
    description: "Fresh input"
  }

  measure: output_spend {
    type: sum
    sql: ${TABLE}.`usd_output` ;;
    filters: [row_kind: "turns,pool_corrections"]
    value_format: "$#,##0.00"
    description: "Output"
  }

  measure: halted_spend {
    type: sum
    sql: ${TABLE}.`usd` ;;
    filters: [row_kind: "runs", state: "halted"]
    value_format: "$#,##0.00"
    description: "Cost of runs that were halted"
  }

  measure: unattributed_spend {
    type: sum
    sql: ${TABLE}.`usd` ;;
    filters: [row_kind: "runs", pull_number: "NULL"]
    value_format: "$#,##0.00"
    description: "Cost of runs that belong to no merged pull request; corrections of no run are not in it"
  }

  measure: attributed_spend {
    type: sum
    sql: ${TABLE}.`usd` ;;
    filters: [row_kind: "runs", pull_number: "NOT NULL"]
    value_format: "$#,##0.00"
    description: "Cost of runs that belong to a merged pull request"
  }

  measure: runs {
    type: count
    filters: [row_kind: "runs"]
  }

  measure: halted_by_a_ceiling {
    type: count
    filters: [
      row_kind: "runs",
      reason: "cost_ceiling,token_ceiling,step_ceiling,wall_clock_ceiling,cached_token_ceiling"
    ]
  }

  measure: ended_runs {
    type: count
    filters: [row_kind: "runs", state: "-open,-running"]
  }

  measure: budget_exhaustion_rate {
    type: number
    sql: SAFE_DIVIDE(${halted_by_a_ceiling}, ${ended_runs}) ;;
    value_format_name: percent_1
    description: "Above 20 %: too tight, or tasks too big. Below 2 %: theatre"
  }

  measure: merged_pulls_with_a_run {
    type: count_distinct
    sql: CONCAT(CAST(${TABLE}.`pull_repository_id` AS STRING), '#', CAST(${TABLE}.`pull_number` AS STRING)) ;;
    filters: [row_kind: "runs", pull_number: "NOT NULL"]
  }

  measure: cost_per_merged_pull {
    type: number
    sql: SAFE_DIVIDE(${attributed_spend}, ${merged_pulls_with_a_run}) ;;
    value_format: "$#,##0.00"
    description: "Direct, over runs by when they were opened; `python -m bot metrics` goes by the merge"
  }

  measure: p90_tokens {
    type: percentile
    percentile: 90
    sql: ${TABLE}.`tokens` ;;
    filters: [row_kind: "runs"]
  }
}
