"""The recurring pipeline as a service: chat, answers to compare, preferences, jobs, deployments.

It speaks OpenAI's dialect, so that clients of that API work as they are. Begin with `api`, the
addresses, and `service`, the parts behind them:

  completions  chat: `chat_request` reads what is asked, `answer` grows, `chat` has the thread that
               draws, `batches` the programs, `policies` the names of what may answer
               (`answering`: their parts and parameters)
  feedback     which answer was better: a row of the deployment (`rounds/feedback_rows.py`)
  files        uploaded data sets, checked when they come
  jobs         the queue of fine-tuning jobs: `job_request` reads one and makes its config, `work`
               is the process that does it, `job_views` shows it
  promotion    which policy is in service; `schedule` begins rounds on time

`errors` and `fields` are the dialect's errors, and how a body is read so that they name a field;
`state` is the file that the queue lies in, `lines` are rows that a kill does not lose. `page` shows
page.html, on which people choose. `access/` says who may ask.
"""
