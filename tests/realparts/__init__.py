"""Real parts that tests run against: a broker and a journal, each started for one test and stopped by its own pid."""
