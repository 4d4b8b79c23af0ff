from agent.execute.files.files import Files

__all__ = ["Files"]
