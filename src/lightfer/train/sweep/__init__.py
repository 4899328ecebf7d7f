"""A list of trainings and a time budget: train in order of value, stop in time, go on another day.

    OUT/queue.toml            the list, as it was last given
    OUT/session.json          whose each item that is being trained is
    OUT/sessions.jsonl        one line per session: its time, what it was spent on, what it finished
    OUT/teachers/             copies of the teachers that the list names as files
    OUT/ITEM/                 the folder of one training, as `lightfer train` writes it
    OUT/ITEM/item.json        its line of the list, so that another one is not mixed with it

`run` is the session and what it gives an executor; `lightfer.executors` knows where that runs.
What an item has reached is read from its folder alone, so a kill at any moment costs no more than
the epochs that were running.
"""
